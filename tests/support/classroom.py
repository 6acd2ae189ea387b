"""A class of twelve to practise on: exercise 01 as Canvas packs what students handed in, and its exported gradebook.

    python tests/support/classroom.py FOLDER

writes ``submissions.zip`` and ``canvas.csv`` into FOLDER. Every kind of trouble is there once.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = "01_brightness_constancy"
COLUMN = "Exercise 01 (4711)"

_OTHER_WAY = """length = np.hypot(Ix, Iy)
    safe = np.where(length == 0, 1, length)
    flow = np.zeros((*Ix.shape, 2))
    flow[..., 0] = It / safe * (Ix / safe)
    flow[..., 1] = It / safe * (Iy / safe)
    return flow"""

#: what each of the students changed in the solution: (a piece of it, what stands there instead)
EDITS: dict[int, list[tuple[str, str]]] = {
    1: [],
    2: [(r"squared = Ix.*?axis=-1\)", _OTHER_WAY)],  # the sign of I_t
    3: [(r"squared = Ix.*?axis=-1\)", _OTHER_WAY.replace("length", "norm"))],  # with a neighbor's help
    4: [(r"np.where\(squared > 0, squared, 1\)", "squared")],  # 0 / 0
    5: [(r"### BEGIN SOLUTION.*?### END SOLUTION", "raise NotImplementedError")],
    6: [(r"squared = Ix", "while True:\n        pass\n    squared = Ix")],
    7: [],  # cut off on the way
    8: [],  # late
    9: [(r"It\n    ### END", "It * 0\n    ### END")],  # in the first attempt only
    10: [],  # two notebooks, neither named after the exercise
    11: [(r"\(I0 \+ I1\) / 2", "(I0 + I1)")],
    12: [(r"-It / np", "It / np")],
}


def edited(notebook: dict, edits: list[tuple[str, str]]) -> bytes:
    """The notebook with pieces of its code replaced."""
    notebook = copy.deepcopy(notebook)
    for old, new in edits:
        count = 0
        for cell in notebook["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "code":
                text, n = re.subn(old, lambda _, new=new: new, text, flags=re.DOTALL)
                count += n
                cell["source"] = text
        if not count:
            raise ValueError(f"the solution has no {old}")
    return json.dumps(notebook).encode()


def submissions() -> dict[str, bytes]:
    """The files of the download by the names that Canvas gives them."""
    solution = json.loads((ROOT / "solutions" / f"{NAME}.ipynb").read_text(encoding="utf-8"))
    files = {}
    for number, edits in EDITS.items():
        who, data = f"student{number:02}", edited(solution, edits)
        place = f"{who}_{1000 + number}_{9000 + number}_{NAME}.ipynb"
        if number == 7:
            data = data[: len(data) // 2]
        if number == 8:
            place = place.replace("_", "_LATE_", 1)
        if number == 9:
            files[f"{who}_1009_9020_{NAME}-1.ipynb"] = edited(solution, [])
        if number == 10:
            files[f"{who}_1010_9031_first.ipynb"] = data
            place = f"{who}_1010_9032_second.ipynb"
        files[place] = data
    return files


def gradebook() -> str:
    """The gradebook as Canvas exports it, no marks yet; one student handed nothing in."""
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", COLUMN, "Final Score"]
    lines = [",".join(head), ",".join(["    Points Possible", "", "", "", "", "5.00", "(read only)"])]
    for number in (*EDITS, 13):
        lines.append(f'"{number:02}, Student",{1000 + number},,student{number:02},A,,')
    return "\r\n".join(lines) + "\r\n"


def write(folder: Path) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "submissions.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in submissions().items():
            archive.writestr(name, data)
    (folder / "canvas.csv").write_bytes(gradebook().encode())


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
