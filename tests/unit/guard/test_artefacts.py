"""What a model file is: every hostile one is refused with a reason, real models are clean, and nothing is ever loaded."""

from __future__ import annotations

import builtins
import gzip
import importlib
import os
import pickle
import zlib
from io import BytesIO

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import calibration, dummy, ensemble, linear_model, naive_bayes, neighbors, neural_network, svm, tree
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from tests import hostile

from jurat.core.digests import digest_bytes
from jurat.core.errors import Malformed, NotFound
from jurat.guard import pickles
from jurat.guard.allowed_globals import ALLOWED
from jurat.guard.artefacts import read_artefact, scan_bytes
from jurat.guard.pickles import walk_pickle

ZIPS = hostile.zips()


@pytest.mark.parametrize("name", hostile.PICKLES)
def test_a_hostile_pickle_is_refused_with_a_reason(name):
    found = scan_bytes(hostile.PICKLES[name])
    assert found.verdict == "refused"
    assert found.reasons
    assert all(reason.isprintable() and "\x1b" not in reason for reason in found.reasons)


@pytest.mark.parametrize("name", ZIPS)
def test_a_hostile_archive_is_refused_with_a_reason(name):
    found = scan_bytes(ZIPS[name])
    assert found.verdict == "refused"
    assert found.reasons


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("os_system", "`posix.system` is not on the list of what a model may be made of (byte"),
        ("hidden_in_a_good_model", "`posix.system` is not on the list"),
        ("protocol_2_renamed_import", "pickle protocol `2`, expected 4 or 5"),
        ("old_global_opcode", "opcode `GLOBAL`, which no pickler writes"),
        ("name_from_memo", "`posix.system` is not on the list"),
        ("name_from_a_tuple", "a name is computed, not written"),
        ("name_from_bytes", "a name is computed, not written"),
        ("calls_a_computed_value", "a computed value is called"),
        ("changes_an_allowed_class_with_allowed_things", "changes `sklearn.pipeline.Pipeline` itself"),
        ("fills_a_class", "changes `sklearn.pipeline.Pipeline` itself"),
        ("second_pickle_after_the_end", "bytes follow the end of the pickle"),
        ("takes_across_a_mark", "takes from an empty stack"),
        ("truncated", "not a readable pickle"),
        ("name_with_control_characters", "`evil?[2J?.x?y` is not on the list"),
    ],
)
def test_the_reason_names_the_fault(name, reason):
    assert reason in scan_bytes(hostile.PICKLES[name]).reasons[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hostile_pickle_under_a_harmless_name", "member 1: `posix.system` is not on the list"),
        ("bomb", "unpacks to 32,000,128 bytes"),
        ("symlink", "it is a symbolic link"),
        ("path_outside", "its name points outside"),
        ("encrypted", "it is encrypted"),
        ("archive_inside", "an archive inside an archive"),
        ("objects_in_an_array", "an .npy array of objects holds a pickle"),
        ("too_many_members", "1001 members"),
        ("unknown_member", "the format is not known"),
    ],
)
def test_the_reason_names_the_fault_in_an_archive(name, reason):
    assert reason in scan_bytes(ZIPS[name]).reasons[0]


def estimators():
    forest = ensemble.RandomForestClassifier(n_estimators=3, random_state=0)
    return [
        linear_model.LogisticRegression(), linear_model.RidgeClassifier(), linear_model.SGDClassifier(random_state=0),
        tree.DecisionTreeClassifier(), forest, ensemble.ExtraTreesClassifier(n_estimators=3),
        ensemble.GradientBoostingClassifier(n_estimators=3), ensemble.HistGradientBoostingClassifier(max_iter=3, random_state=1),
        ensemble.AdaBoostClassifier(n_estimators=3), ensemble.BaggingClassifier(n_estimators=2),
        ensemble.VotingClassifier([("a", tree.DecisionTreeClassifier()), ("b", naive_bayes.GaussianNB())]),
        ensemble.StackingClassifier([("a", naive_bayes.GaussianNB())], cv=2), naive_bayes.GaussianNB(), svm.SVC(), svm.LinearSVC(),
        neighbors.KNeighborsClassifier(), dummy.DummyClassifier(), neural_network.MLPClassifier((3,), solver="lbfgs", max_iter=9000),
        calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), cv=2),
        Pipeline([("clean", SimpleImputer()), ("scale", StandardScaler()), ("model", linear_model.LogisticRegression())]),
    ]  # fmt: skip


@pytest.mark.parametrize("model", estimators(), ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("protocol", [4, 5])
def test_a_fitted_scikit_learn_model_is_clean(model, protocol):
    random = np.random.default_rng(0)
    inputs = random.random((60, 3))
    found = scan_bytes(pickle.dumps(model.fit(inputs, (inputs[:, 0] > 0.5).astype(int)), protocol=protocol))
    assert found.reasons == []
    assert found.verdict == "clean"
    assert found.format == "pickle"


def test_a_pipeline_over_texts_and_numbers_is_clean():
    inputs = np.array([["a", 1.0, "x"], ["b", 2.0, "y"], ["a", 3.0, "x"], ["b", 4.0, "z"]], dtype=object)
    encode = ColumnTransformer([("n", StandardScaler(), [1]), ("w", OneHotEncoder(), [0]), ("o", OrdinalEncoder(), [2])])
    model = Pipeline([("encode", encode), ("model", linear_model.LogisticRegression())]).fit(inputs, ["no", "no", "yes", "yes"])
    assert scan_bytes(pickle.dumps(model, protocol=5)).is_clean


@pytest.mark.parametrize(
    "raw", [hostile.GOOD, hostile.npy_of(np.arange(5)), hostile.zip_of({"a.npy": hostile.npy_of(np.arange(3)), "m.json": b"{}"})]
)
def test_plain_values_arrays_and_archives_of_them_are_clean(raw):
    found = scan_bytes(raw)
    assert (found.verdict, found.reasons) == ("clean", [])
    assert (found.digest, found.size_bytes) == (digest_bytes(raw), len(raw))


def test_a_shared_and_a_recursive_value_are_clean():
    shared = [1, 2]
    recursive = [shared, shared]
    recursive.append(recursive)
    recursive.append((recursive,))
    assert scan_bytes(pickle.dumps(recursive, protocol=5)).is_clean


def test_joblib_files_are_refused_and_told_how_to_save_instead():
    out = BytesIO()
    joblib.dump(linear_model.LogisticRegression().fit([[0.0], [1.0]], [0, 1]), out)
    found = scan_bytes(out.getvalue())
    assert not found.is_clean
    assert "save with `pickle.dump(model, file, protocol=5)`" in found.reasons[0]


@pytest.mark.parametrize(("compress", "name"), [(gzip.compress, "gzip"), (zlib.compress, "zlib")])
def test_compressed_files_are_refused_by_name(compress, name):
    assert f"compressed with {name}" in scan_bytes(compress(hostile.GOOD)).reasons[0]


@pytest.mark.parametrize("raw", [b"", b"\0", b"\x80", b"\x80\x05", b"PK\x03\x04", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"hello"])
def test_stumps_are_refused(raw):
    assert scan_bytes(raw).verdict == "refused"


def test_an_array_that_is_shorter_than_it_says_is_refused():
    assert "says 40 bytes and has 39" in scan_bytes(hostile.npy_of(np.arange(5))[:-1]).reasons[0]


def test_every_allowed_name_exists():
    for module, name in sorted(ALLOWED):
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_no_allowed_name_opens_imports_evaluates_or_calls():
    modules = {module.split(".")[0] for module, _ in ALLOWED}
    assert modules == {"builtins", "collections", "numpy", "scipy", "sklearn"}
    names = {name for module, name in ALLOWED if module == "builtins"}
    assert names == {"complex", "frozenset", "set", "slice"}
    assert not any(name in ("FunctionTransformer", "load", "loads", "memmap", "fromfile", "partial") for _, name in ALLOWED)


def test_the_walk_itself_wants_the_protocol_first():
    assert walk_pickle(b"N.").reasons == ["the protocol is not declared once, at the start (byte 0)"]


def test_opcodes_are_bounded(monkeypatch):
    monkeypatch.setattr(pickles, "MAX_OPCODES", 100)
    found = walk_pickle(hostile.program(b"N0" * 60, b"N"))
    assert found.reasons == ["more than 100 opcodes"]


def test_reasons_are_bounded():
    many = b"".join(hostile._string("evil") + hostile._string(f"n{n}") + b"\x930" for n in range(100))
    found = walk_pickle(hostile.program(many, b"N"))
    assert len(found.reasons) == 20
    assert len(found.names) == 100


def test_a_file_is_scanned_and_never_loaded(tmp_path, monkeypatch):
    trace, model = tmp_path / "trace", tmp_path / "model.pkl"
    model.write_bytes(hostile.plant(trace))

    def no(*_):
        raise AssertionError("something was loaded")

    for name in ("loads", "load", "Unpickler"):
        monkeypatch.setattr(pickle, name, no)
    monkeypatch.setattr(builtins, "eval", no)
    found = scan_bytes(read_artefact(model))
    assert not found.is_clean
    assert not trace.exists()


def test_the_planted_pickle_would_have_left_a_trace(tmp_path):
    trace = tmp_path / "trace"
    pickle.loads(hostile.plant(trace))
    assert trace.exists()


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path):
    good = tmp_path / "good.pkl"
    good.write_bytes(hostile.GOOD)
    assert read_artefact(good) == hostile.GOOD
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "empty", "pipe"):
        with pytest.raises(Malformed) as caught:
            read_artefact(tmp_path / name)
        assert caught.value.code == "artefact_unreadable"
    with pytest.raises(Malformed):
        read_artefact(tmp_path)
    with pytest.raises(NotFound):
        read_artefact(tmp_path / "missing")
    with pytest.raises(Malformed, match="expected 1 to 10"):
        read_artefact(good, max_size_bytes=10)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_scanner_raise_or_pass_what_they_should_not(raw):
    for form in (raw, b"\x80\x05" + raw, b"\x80\x04" + raw + b".", b"PK\x03\x04" + raw):
        found = scan_bytes(form)
        assert (found.verdict == "clean") == (not found.reasons)


_MODEL = pickle.dumps(linear_model.LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 1]), protocol=5)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(_MODEL) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_makes_the_scanner_accept_a_name_that_is_not_on_the_list(position, flip):
    raw = bytearray(_MODEL)
    raw[position] ^= flip
    found = scan_bytes(bytes(raw))
    allowed = {f"{module}.{name}" for module, name in ALLOWED}
    assert not found.is_clean or set(found.globals) <= allowed


class _Refuses(pickle.Unpickler):
    """The unpickler as a judge: it says which names a pickle really asks for, and gives none of them out."""

    def __init__(self, raw):
        super().__init__(BytesIO(raw))
        self.asked = set()

    def find_class(self, module, name):
        self.asked.add(f"{module}.{name}")
        return _Stand


class _Stand:
    def __init__(self, *_, **__): ...
    def __setstate__(self, _): ...


@pytest.mark.parametrize(
    "raw", [_MODEL, hostile.GOOD, *(hostile.PICKLES[n] for n in ("os_system", "hidden_in_a_good_model", "name_from_memo"))]
)
def test_the_walk_finds_exactly_the_names_that_the_real_unpickler_asks_for(raw):
    judge = _Refuses(raw)
    judge.load()
    assert set(walk_pickle(raw).names) == judge.asked
