"""The scores of a validation."""

from finetuning import window
from tx.tasks.speech.validation import score


def test_repetitions_are_shortened_and_counted_in_full() -> None:
    hypotheses = ["," * 448, "und so weiter " * 30, "ja " * 66 + "ja"]
    found = score("valid", [window("Ja.")] * 3, hypotheses, None)
    assert int(found.raw.words[:, 3].sum()) == (90 - 1) + (67 - 1)
    assert [pair["hypothesis"] for pair in found.worst] == [
        "und so weiter " * 14 + "und ...",  # 199 characters and a space
        "ja " * 66 + "ja",
        "," * 200 + " ...",
    ]
