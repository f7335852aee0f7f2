"""Spark before an archive: a program of its own, for an environment with pyspark in it, and with nothing of ours.

`python spark_reader.py FOLDER QUERIES`: JSON in, JSON out. `listed` are the answers over the files that the manifest lists,
`folder_rows` counts all the Parquet files that lie there, those that a merge has just replaced among them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "512m",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.ui.showConsoleProgress": "false",
}


def listed(spark: SparkSession, events: Path) -> DataFrame:
    """Return the rows of the files that count; `class`, `kind` and `date` come from the folders' names."""
    newest = max(events.glob("manifest-*.json"), key=lambda path: int(path.stem.partition("-")[2]))
    parts = [str(events / part["path"]) for part in json.loads(newest.read_bytes())["parts"]]
    return spark.read.option("basePath", str(events)).parquet(*parts)


def main(folder: str, queries: str) -> None:
    builder = SparkSession.builder.master("local[1]").config("spark.local.dir", str(Path.cwd()))
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        listed(spark, Path(folder)).createOrReplaceTempView("events")
        answers = {name: [list(row) for row in spark.sql(text).collect()] for name, text in json.loads(queries).items()}
        folder_rows = spark.read.option("pathGlobFilter", "*.parquet").parquet(folder).count()
        print(json.dumps({"version": spark.version, "listed": answers, "folder_rows": folder_rows}))
    finally:
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
