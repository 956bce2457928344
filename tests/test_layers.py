"""The shape of the code itself: sizes, who may write to disk, and what `tx --help` may import."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tx

ROOT = Path(tx.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
MAX_FILE, MAX_FUNCTION = 400, 60

# Who opens a file for writing, and why that is safe.
WRITERS = {
    "data/corpus.py": "into an atomic_folder",
    "data/stream.py": "into an atomic_folder",
    "speech/transcribe/ctranslate2_engine.py": "into an atomic_folder",
    "package/write.py": "into an atomic_folder",
    "text/lines.py": "to pipes and devices, which nothing can replace",
    "training/averaging.py": "into the folder of a package that is being written",
    "training/checkpoint.py": "into an atomic_folder",
    "training/log.py": "appends; a resumed run cuts off what came after its checkpoint",
    "training/run_folder.py": "the number of the process that holds the lock",
    "training/prepare.py": "into the folder of a package that is being written",
    "word2vec/corpus.py": "into an atomic_folder",
    "word2vec/phrases.py": "into an atomic_folder",
    "tasks/vectors/checkpoint.py": "into an atomic_folder",
    "vectors/store.py": "into the folder of a package that is being written",
}
HEAVY = {"torch", "sentencepiece", "sacrebleu", "gensim"}


def name_of(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


def called(call: ast.Call) -> str:
    """`torch.save` for torch.save(...), `.write_text` for f().write_text(...), `open` for open(...)."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        return f"{owner}.{function.attr}"
    return ""


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and name of every call that puts something on disk."""
    writing = {"write_text", "write_bytes", "save_file", "savez", "savez_compressed", "memmap", "copytree"}
    exact = {
        "torch.save",
        "np.save",
        "os.replace",
        "os.rename",
        "shutil.copy",
        "shutil.copyfile",
        "shutil.move",
    }
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = called(call)
        last = name.rpartition(".")[2]
        modes = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
        constants = [m.value for m in modes if isinstance(m, ast.Constant) and isinstance(m.value, str)]
        is_write_mode = any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax+") for mode in constants)
        if (last == "open" and is_write_mode) or last in writing or name in exact:
            yield call.lineno, name


def test_writes_are_recognized() -> None:
    code = (
        'open(p, "wb"); p.open("a"); open(p, mode="r+"); p.write_text("x"); torch.save(x, p); save_file(t, p)'
    )
    assert len(list(writes(ast.parse(code)))) == 6
    harmless = (
        'open(p); open(p, "rb"); p.open("r"); gzip.open("data.gz"); text.replace("a", "b"); p.read_text()'
    )
    assert list(writes(ast.parse(harmless))) == []


@pytest.mark.parametrize("module", [m for m in MODULES if name_of(m) != "files.py"], ids=name_of)
def test_only_tx_files_writes_to_disk(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    found = [f"{name_of(module)}:{number} {name}" for number, name in writes(tree)]
    if name_of(module) not in WRITERS:
        assert not found, "write through tx.files, which survives a crash and a full disk"
    else:
        assert found, "writes nothing any more: strike it from WRITERS"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_nothing_is_pickled(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.partition(".")[0] for name in names} & {
            "pickle",
            "shelve",
            "marshal",
            "joblib",
            "dill",
        }
        if isinstance(node, ast.Call):
            assert called(node) != "torch.save"
            unsafe = {
                word.arg
                for word in node.keywords
                if isinstance(word.value, ast.Constant) and not word.value.value
            }
            assert not (called(node) == "torch.load" and "weights_only" in unsafe)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_files_and_functions_stay_small(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # A command's signature is its options with their help, so only the body counts.
            length = (node.end_lineno or 0) - node.body[0].lineno + 1
            assert length <= MAX_FUNCTION, f"{name_of(module)}:{node.lineno} {node.name} has {length} lines"


def test_the_command_line_starts_without_anything_heavy() -> None:
    code = f"import sys, tx.cli.app; print(*sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def dotted(module: Path) -> str:
    return ".".join(("tx", *module.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


ALL = set(map(dotted, MODULES))


def imported(code: str) -> set[str]:
    """The modules of tx that code imports, at its top or inside a function, but not for the type checker alone."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in ALL else node.module)
    return found & ALL


def test_imports_are_recognized() -> None:
    code = (
        "import tx.files; from tx import errors; from tx.errors import TxError\n"
        "if TYPE_CHECKING:\n    import tx.config\ndef f():\n    from tx.text import lines"
    )
    assert imported(code) == {"tx.files", "tx.errors", "tx.text.lines"}


def test_no_imports_form_a_circle() -> None:
    imports = {dotted(module): imported(module.read_text(encoding="utf-8")) for module in MODULES}
    reached = imports
    while True:
        further = {name: known.union(*(reached[other] for other in known)) for name, known in reached.items()}
        if further == reached:
            break
        reached = further
    circles = {
        name: [other for other in reached[name] if name in reached[other]]
        for name in sorted(ALL)
        if name in reached[name]
    }
    assert circles == {}


def test_a_help_page_imports_the_module_of_its_command_alone() -> None:
    code = """
import sys
from tx.cli.app import main
sys.argv = ["tx", "tokenize", "--help"]
try:
    main()
except SystemExit:
    print(*(name for name in sys.modules if name.startswith("tx.cli.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded == {f"tx.cli.{name}" for name in ("app", "console", "error_format", "pipe", "tokenize")}


def test_the_command_line_starts_without_modules_that_windows_lacks() -> None:
    code = """
import sys
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None  # importing it raises ImportError
from tx.cli.app import main
sys.argv = ["tx", "--help"]  # which imports every command
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "translate" in done.stdout
