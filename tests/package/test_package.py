"""Opening a package: nothing damaged, foreign or hostile is used, and the fault is one sentence."""

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import tx.files
from crash import names
from packages import Words, fill, snapshot, translator
from tx.errors import TxError
from tx.package import (
    MANIFEST,
    WEIGHTS,
    Package,
    update_manifest,
    write_package,
)
from tx.package.manifest import manifest_digest


@pytest.fixture
def de_en(tmp_path: Path) -> Path:
    return write_package(tmp_path / "de-en", fill(1), **translator()).path


def reseal(path: Path, change) -> None:
    """Change model.json as someone would who knows how its checksum is made."""
    manifest = json.loads((path / MANIFEST).read_text())
    change(manifest)
    manifest["sha256"] = manifest_digest(path, manifest)
    (path / MANIFEST).write_text(json.dumps(manifest))


def list_file(path: Path, name: str, content: bytes) -> None:
    """Put `content` into the package as its file `name`, with a right digest in a right model.json."""
    (path / name).write_bytes(content)
    entry = {"sha256": tx.files.sha256(path / name), "bytes": len(content)}
    reseal(path, lambda manifest: manifest["files"].update({name: entry}))


def test_what_is_written_is_read(de_en: Path) -> None:
    package = Package.open(de_en, "translation")
    expected = translator()
    assert (package.name, package.task, package.arch) == ("de-en", "translation", "transformer")
    for key in ("config", "decode", "data", "scores"):
        assert getattr(package, key) == expected[key]
    assert package.tokenizers == {
        "src": {"kind": "word", "file": "src.txt"},
        "tgt": {"kind": "word", "file": "tgt.txt"},
    }
    assert package.file("src.txt").read_text() == "ein\nhaus\n1"
    np.testing.assert_array_equal(load_file(package.file(WEIGHTS))["a.weight"], np.ones((2, 6), np.float32))
    assert {name: (tensor.dtype, tensor.shape, tensor.size) for name, tensor in package.tensors.items()} == {
        "a.weight": ("F32", (2, 6), 12),
        "b": ("I64", (3,), 3),
    }
    with pytest.raises(TxError, match=r"has no file \.\./secret"):
        package.file("../secret")
    assert names(de_en) == ["README.md", "model.json", "src.txt", "tgt.txt", WEIGHTS]


def test_a_tokenizer_alone_is_a_package(tmp_path: Path) -> None:
    package = write_package(tmp_path / "bpe", task="tokenizer", tokenizers={"tokenizer": Words("a")})
    assert (package.arch, package.tensors, package.task) == (None, {}, "tokenizer")


def test_the_wrong_task_is_named_with_the_right_one(de_en: Path) -> None:
    with pytest.raises(TxError, match="is a translation package, but a tokenizer package is needed"):
        Package.open(de_en, "tokenizer")


def mutate(rng: random.Random, path: Path, other: Path) -> str:
    """Damage one file of the package at `path` in one way; return which."""
    files = [MANIFEST, *Package.open(path).manifest["files"]]
    name = rng.choice(files)
    file = path / name
    data = file.read_bytes()
    kind = rng.choice(["truncate", "flip", "append", "delete", "foreign", "swap", "value", "link", "folder"])
    if kind == "truncate":
        file.write_bytes(data[: rng.randrange(len(data))])
    elif kind == "flip":
        bit = rng.randrange(8 * len(data))
        file.write_bytes(data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :])
    elif kind == "append":
        file.write_bytes(data + rng.choice([b"\0", b"\n", b" ", b"{}", data]))
    elif kind == "delete":
        file.unlink()
    elif kind == "foreign":
        content = [
            b"",
            rng.randbytes(len(data)),
            pickle.dumps(Words),
            b"[" * 10**5,
            b'"\xff"',
            b"null",
            b"{}",
        ]
        file.write_bytes(rng.choice(content))
    elif kind == "swap":
        name = rng.choice([MANIFEST, WEIGHTS, "src.txt"])
        source = other / name
        (path / name).write_bytes(source.read_bytes() if source.exists() else b"")
    elif kind == "value":
        manifest = json.loads((path / MANIFEST).read_text())
        at, key = manifest, rng.choice(sorted(manifest))
        while isinstance(at[key], dict) and at[key] and rng.random() < 0.7:
            at, key = at[key], rng.choice(sorted(at[key]))
        if rng.random() < 0.3:
            del at[key]
        else:
            at[key] = rng.choice(
                [None, True, -1, 10**400, 1e308, "", "x", "../x", "\ud800", [], {}, [[]], {"a": 1}]
            )
        (path / MANIFEST).write_text(json.dumps(manifest))
    elif kind == "link":
        file.rename(path.parent / "elsewhere")
        file.symlink_to(path.parent / "elsewhere")
    else:
        file.unlink()
        file.mkdir()
    return f"{kind} {name}"


def test_every_damage_is_one_sentence_or_harmless(tmp_path: Path) -> None:
    pristine = tmp_path / "pristine"
    originals = [
        write_package(pristine / "a", fill(1), **translator(1)).path,
        write_package(pristine / "b", task="tokenizer", tokenizers={"tokenizer": Words("a", "b")}).path,
    ]
    other = write_package(pristine / "c", fill(2), **translator(2)).path
    found = 0
    for seed in range(600):
        rng = random.Random(seed)
        original = originals[seed % 2]
        path = tmp_path / "work" / "package"
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(original, path)
        what = mutate(rng, path, other)
        try:
            after = snapshot(path)
        except TxError as error:
            found += 1
            assert str(path) in error.message and "\n" not in error.message, (what, error.message)
        else:  # harmless: the same content, to the byte
            assert after == snapshot(original), what
    assert found > 500


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is damaged: it is empty"),
        (b"hello", "is damaged: it is not JSON (line 1, column 1)"),
        (b"<html>\n</html>", "it is not JSON"),
        (b'{"format": 1,\n "task": "transl', "it is cut short (line 2, column 10)"),
        (b'{"format": 1,\n "x": fal', "it is cut short (line 2, column 7)"),
        (b'{"format": 1,\n', "it is cut short"),
        (b"[1]", "not a JSON object"),
        (b"{}", "no format number"),
        (b'{"format": true}', "no format number"),
        (b'{"format": 1.0}', "no format number"),
        (b'{"format": 0}', "no format number"),
        (b'{"format": 1}', "'task' is missing"),
        (b'{"format": 1, "format": 1}', "a key occurs twice"),
        (b'{"format": 1, "x": NaN}', "NaN is no JSON number"),
        (b'{"format": 1, "x": -Infinity}', "-Infinity is no JSON number"),
        (b'{"format": ' + b"9" * 100 + b"}", "needs a newer tx"),
        (b'{"format": ' + b"9" * 5000 + b"}", "a number has too many digits"),
        (b'{"format": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"format": 1, "x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "nested too deeply"),
        ('{"format": 1}'.encode("utf-16"), "it is not UTF-8 text"),
        (b"\xef\xbb\xbf{}", "is damaged"),
        (b" " * (1 << 25), "too large"),
        (pickle.dumps({"format": 1}), "is damaged"),
    ],
)
def test_a_malformed_manifest_is_told_in_one_sentence(de_en: Path, content: bytes, reason: str) -> None:
    (de_en / MANIFEST).write_bytes(content)
    with pytest.raises(TxError) as caught:
        Package.open(de_en)
    assert reason in caught.value.message
    assert str(de_en / MANIFEST) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", "Translation\x1b[31m"),
        ("task", None),
        ("arch", 1),
        ("config", []),
        ("config", {"x": 1e999}),
        ("config", {"x": "\ud800"}),
        ("tokenizers", {"src": "src.txt"}),
        ("tokenizers", {"src": {"kind": "word", "file": "../../etc/passwd"}}),
        ("tokenizers", {"src": {"kind": "word", "file": ["src.txt"]}}),
        ("scores", [1]),
        ("scores", [{"metric": "BLEU", "value": "31"}]),
        ("scores", [{"metric": "BLEU", "value": True}]),
        ("files", {}),
        ("files", {WEIGHTS: {"sha256": "0" * 64, "bytes": True}}),
        ("files", {WEIGHTS: {"sha256": "0" * 63, "bytes": 1}}),
        ("files", {WEIGHTS: {"sha256": "0" * 64, "bytes": 10**30}}),
        ("files", {WEIGHTS: None}),
    ],
)
def test_a_hostile_manifest_with_a_right_checksum_is_refused(de_en: Path, key: str, value: object) -> None:
    try:
        reseal(de_en, lambda manifest: manifest.update({key: value}))
    except TxError:  # no checksum can be computed; then any will do
        manifest = json.loads((de_en / MANIFEST).read_text())
        (de_en / MANIFEST).write_text(json.dumps({**manifest, key: value}).replace("Infinity", "1e999"))
    with pytest.raises(TxError):
        Package.open(de_en)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/b",
        "a\\b",
        ".hidden",
        "",
        ".",
        "..",
        "a\0",
        "a\n",
        "ä",
        "C:x",
        "x" * 200,
        "README.md",
        "run",
    ],
)
def test_no_name_leads_outside(de_en: Path, name: str) -> None:
    reseal(de_en, lambda manifest: manifest["files"].update({name: {"sha256": "0" * 64, "bytes": 0}}))
    with pytest.raises(TxError, match="cannot be the name of a file"):
        Package.open(de_en)


def test_no_link_is_followed_and_no_pipe_waited_for(de_en: Path, tmp_path: Path) -> None:
    (de_en / "src.txt").rename(tmp_path / "src.txt")
    (de_en / "src.txt").symlink_to(tmp_path / "src.txt")
    with pytest.raises(TxError, match=r"src\.txt is a link"):
        Package.open(de_en)
    (de_en / "src.txt").unlink()
    os.mkfifo(de_en / "src.txt")
    with pytest.raises(TxError, match="not a regular file"):
        Package.open(de_en)
    (de_en / MANIFEST).unlink()
    (de_en / MANIFEST).symlink_to("/dev/zero")
    with pytest.raises(TxError, match=r"model\.json is a link"):
        Package.open(de_en)
    linked = tmp_path / "linked"
    write_package(tmp_path / "real", fill(1), **translator())
    linked.symlink_to(tmp_path / "real")
    assert Package.open(linked).task == "translation"  # the folder itself may be a link


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> bytes:
    return json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        pickle.dumps({"weights": [1.0] * 100}),
        b"PK\x03\x04" + bytes(200),
        b"\x93NUMPY" + bytes(200),
        safetensors(b"{}", length=400 * 10**9),
        safetensors(b"{}", length=2**64 - 1),
        safetensors(b"{}", length=0),
        safetensors(b"[]"),
        safetensors(b"{}", data=b"tail"),
        safetensors(b"[" * 10**5),
        safetensors(b'{"__metadata__": []}'),
        safetensors(b'{"w": 1}'),
        safetensors(entry()),  # no data at all
        safetensors(entry(), bytes(3)),
        safetensors(entry(), bytes(5)),
        safetensors(entry(offsets=(4, 8)), bytes(8)),
        safetensors(entry(offsets=(4, 0)), bytes(4)),
        safetensors(entry(offsets=(-4, 0)), bytes(4)),
        safetensors(entry(offsets=(0, 4, 8)), bytes(4)),
        safetensors(entry(offsets=(0, 4.0)), bytes(4)),
        safetensors(entry(dtype="F99"), bytes(4)),
        safetensors(entry(dtype=[]), bytes(4)),
        safetensors(entry(shape=(2,)), bytes(4)),
        safetensors(entry(shape=(-1, -1)), bytes(4)),
        safetensors(entry(shape=(True,)), bytes(4)),
        safetensors(entry(shape="1"), bytes(4)),
        safetensors(entry(shape=(10**11,), offsets=(0, 4 * 10**11)), bytes(4)),
        safetensors(entry(shape=(2**32, 2**32), offsets=(0, 0)), b""),
        safetensors(entry(shape=(10**300,) * 2000), bytes(4)),
        safetensors(entry()[:-1] + b"," + entry()[1:], bytes(4)),  # the same name twice
        safetensors(entry()[:-1] + b"," + entry()[1:].replace(b"w", b"v"), bytes(4)),  # overlap
    ],
)
def test_weights_that_lie_are_refused_though_every_digest_is_right(de_en: Path, content: bytes) -> None:
    list_file(de_en, WEIGHTS, content)
    with pytest.raises(TxError, match=r"weights\.safetensors is damaged"):
        Package.open(de_en)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(
            lambda name: name != "__metadata__"
        ),
        st.tuples(
            st.sampled_from(["f2", "f4", "f8", "i1", "i8", "u1", "?"]),
            st.lists(st.integers(0, 3), max_size=3),
        ),
        max_size=4,
    )
)
def test_whatever_safetensors_writes_is_accepted(tmp_path_factory, tensors) -> None:
    path = tmp_path_factory.mktemp("p") / "p"
    arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in tensors.items()}
    package = write_package(
        path, lambda folder: save_file(arrays, folder / WEIGHTS, {"a": "b"}), task="vectors"
    )
    assert {name: tensor.shape for name, tensor in package.tensors.items()} == {
        name: array.shape for name, array in arrays.items()
    }
    assert {name: tensor.size for name, tensor in package.tensors.items()} == {
        name: array.size for name, array in arrays.items()
    }


def test_reading_runs_no_code(de_en: Path) -> None:
    """Open a package full of pickles, while an audit hook reports anything that could run code."""
    for name in (WEIGHTS, "src.txt", "x.npy", "x.bin", "x.pt", "x.kv"):
        list_file(de_en, name, pickle.dumps(os.system))
    script = f"""
import sys
from tx.errors import TxError
from tx.package import Package
def hook(event, args):
    if event in ("pickle.find_class", "exec", "compile", "import", "os.system", "subprocess.Popen"):
        print(event, args)
sys.addaudithook(hook)
try:
    Package.open({str(de_en)!r})
except TxError as error:
    print("refused")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "refused\n"


def test_a_newer_format_asks_for_a_newer_tx(de_en: Path) -> None:
    reseal(de_en, lambda manifest: manifest.update(format=2, files="in another form"))
    with pytest.raises(TxError, match=r"needs a newer tx: it has format 2, and this tx reads up to 1"):
        Package.open(de_en)


def test_unknown_keys_are_kept(de_en: Path) -> None:
    reseal(de_en, lambda manifest: manifest.update(licence="CC0"))
    package = update_manifest(Package.open(de_en), scores=[])
    assert package.manifest["licence"] == "CC0"


def test_a_hand_edited_manifest_is_told_where_own_text_belongs(de_en: Path) -> None:
    text = (de_en / MANIFEST).read_text()
    (de_en / MANIFEST).write_text(text.replace('"beam_size": 5', '"beam_size": 6'))
    with pytest.raises(TxError, match="was changed after tx wrote it") as caught:
        Package.open(de_en)
    assert caught.value.hint is not None and "README.md" in caught.value.hint


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no package at"),
        (lambda path: path.mkdir(), "is not a package: it has no model.json"),
        (lambda path: (path / "run").mkdir(parents=True), "has no model.json yet"),
        (lambda path: path.write_text(""), "is a file, and a package is a folder"),
    ],
)
def test_what_is_no_package_is_named(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "x")
    with pytest.raises(TxError, match=message):
        Package.open(tmp_path / "x")
