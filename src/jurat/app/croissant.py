"""A data sheet as Croissant 1.0 (JSON-LD), as far as it is known: what is not on record is left out, never guessed."""

from __future__ import annotations

import json
from typing import Any, Final

from jurat.app.card_formats import mark
from jurat.domain import rows
from jurat.domain.cards import Card

# Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html, appendix "JSON-LD context"
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject", "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField",
    "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace",
    "equivalentProperty": "cr:equivalentProperty", "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform", "jurat:card": "https://jurat.example/card", "jurat:event": "https://jurat.example/event",
}  # fmt: skip


def as_croissant(card: Card, data: rows.Dataset | None) -> str:
    """Return the sheet of a data set as one Croissant document."""
    assert data is not None
    sheet = data.sheet
    known = {
        "description": sheet.purpose, "license": sheet.licence, "url": sheet.source if sheet.source.startswith("http") else "",
        "citeAs": sheet.source, "rai:dataCollection": sheet.collection_method, "rai:dataBiases": sheet.known_biases,
        "rai:personalSensitiveInformation": sheet.sensitive_columns,
    }  # fmt: skip
    name = data.dataset.replace("@", "-")
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": name,
        "version": data.dataset.partition("@")[2],
        **{key: value for key, value in known.items() if value},
        "distribution": [
            {
                "@type": "cr:FileObject", "@id": "table", "name": f"{name}.csv", "encodingFormat": "text/csv",
                "contentUrl": f"urn:{data.digest}", "sha256": data.digest.removeprefix("sha256:"),
            }
        ],
        "jurat:card": mark(card),
        "jurat:event": data.as_of,
    }  # fmt: skip
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
