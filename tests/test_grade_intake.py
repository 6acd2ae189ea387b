"""Intake: any folder, archive or course system's download becomes one paper a student, and nothing in it does harm."""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile

import pytest

from vidlearn.grade import Assignment, grade
from vidlearn.grade import intake as intaking
from vidlearn.grade.intake import papers

ID = "01_test"
SOURCE = b"def normal_flow(Ix, Iy, It): pass\n"
TOML = {"assignment": {"id": ID}, "question": [{"operation": "flow.normal_flow", "points": 10}]}


def notebook(*cells):
    full = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": source} for source in cells]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": full}).encode()


def lay(top, files):
    """Write files by name."""
    for name, raw in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(raw)
    return top


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return buffer.getvalue()


def member(name, raw=SOURCE, **fields):
    info = tarfile.TarInfo(name)
    info.size = len(raw)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, raw


def tarred(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, raw in members:
            archive.addfile(info, io.BytesIO(raw))
    return buffer.getvalue()


def as_tar(files):
    return tarred([member(name, raw) for name, raw in files.items()])


def by_student(found):
    return {paper.student: paper for paper in found}


def take(path):
    found, _ = papers(path, ID)
    return by_student(found)


CONTAINERS = {
    "folder": None,
    ".zip": zipped,
    ".tar": as_tar,
    ".tar.gz": lambda files: gzip.compress(as_tar(files)),
    ".tgz": lambda files: gzip.compress(as_tar(files)),
    ".tar.xz": lambda files: lzma.compress(as_tar(files)),
    ".tar.bz2": lambda files: bz2.compress(as_tar(files)),
}


@pytest.fixture(params=CONTAINERS)
def packed(request, tmp_path):
    """The same files as a folder and in each kind of archive."""

    def pack(files):
        if request.param == "folder":
            return lay(tmp_path / "class", files)
        path = tmp_path / f"class{request.param}"
        path.write_bytes(CONTAINERS[request.param](files))
        return path

    return pack


# ------------------------------------------------------------------ layouts, in every container


def test_a_plain_class_is_read_from_any_container(packed):
    found = take(packed({"anna/01_test.ipynb": notebook("x = 1"), "anna/notes.py": b"", "ben.py": SOURCE}))
    assert {name: (p.source, p.suffix, p.problem) for name, p in found.items()} == {
        "anna": (notebook("x = 1"), ".ipynb", ""),
        "ben": (SOURCE, ".py", ""),
    }


def test_canvas_names_give_student_id_lateness_and_the_newest_attempt(packed):
    found = take(
        packed(
            {
                "anna_101_9001_01_test.ipynb": notebook("first"),
                "anna_101_9020_01_test-1.ipynb": notebook("second"),
                "ben_LATE_102_9003_01_test.py": SOURCE,
                "chris_103_text.html": b"<p>sorry</p>",
                "LATE_anon_x7Qz1_9004_01_test.py": SOURCE,
            }
        )
    )
    assert {name: p.id for name, p in found.items()} == {
        "anna": "101", "ben": "102", "chris": "103", "anon_x7Qz1": "x7Qz1",
    }  # fmt: skip
    assert found["anna"].source == notebook("second")
    assert found["anna"].submission == "anna_101_9020_01_test-1.ipynb"
    assert any("2 attempts" in note and "newest" in note for note in found["anna"].notes)
    assert found["ben"].source == SOURCE and found["ben"].notes == ("handed in late, says Canvas",)
    assert found["anon_x7Qz1"].notes == ("handed in late, says Canvas",)
    assert "no notebook and no Python file" in found["chris"].problem


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_canvas_attempts_may_lie_in_any_order(tmp_path, order):
    files = [("anna_1_999_x-1.py", b"1"), ("anna_1_1000_x.py", b"2"), ("anna_1_1001_x.py", b"3")]
    (tmp_path / "class.zip").write_bytes(zipped(dict(files[i] for i in order)))
    anna = take(tmp_path / "class.zip")["anna"]
    assert anna.source == b"3"
    assert anna.notes == ("3 attempts at x.py; the newest was graded (Canvas file 1001)",)


def test_two_numbered_files_on_canvas_are_no_attempts_without_a_first(packed):
    anna = take(packed({"anna_1_345_part-1.ipynb": notebook("a"), "anna_1_346_part-2.ipynb": notebook("b")}))["anna"]
    assert anna.problem == "several files could be the submission: part-1.ipynb, part-2.ipynb"
    assert anna.submission == "anna_1_345_part-1.ipynb"  # Canvas's name, which says whose number the id is


def test_moodle_folders_give_name_and_participant(packed):
    found = take(
        packed(
            {
                "Anna Ö_12345_assignsubmission_file_/sub/01_test.py": SOURCE,
                "Anna Ö_12345_assignsubmission_onlinetext_/onlinetext.html": b"hello",
                "Ben B_12346_assignsubmission_file_/report.pdf": b"%PDF",
                "Namesake_7_assignsubmission_file_/a.py": b"a = 1",
                "Namesake_8_assignsubmission_file_/a.py": b"a = 2",
            }
        )
    )
    assert (found["Anna Ö"].id, found["Anna Ö"].source) == ("12345", SOURCE)
    assert found["Ben B"].id == "12346" and "report.pdf" in found["Ben B"].problem
    assert found["Ben B"].submission == "Ben B_12346_assignsubmission_file_"
    assert {p.source for name, p in found.items() if "Namesake" in name} == {b"a = 1", b"a = 2"}
    assert {"Namesake (7)", "Namesake (8)"} <= set(found)


def test_moodle_without_folders_is_known_too(packed):
    found = take(
        packed(
            {
                "Anna A_12345_assignsubmission_file_01_test.py": SOURCE,
                "Ben B_12346_assignsubmission_file_other.py": b"b = 1",
            }
        )
    )
    assert {name: (p.id, p.source) for name, p in found.items()} == {
        "Anna A": ("12345", SOURCE),
        "Ben B": ("12346", b"b = 1"),
    }


GRADESCOPE = """---
submission_11:
  :submitters:
  - :name: Anna A
    :sid: '0101'
    :email: anna@example.org
  :created_at: 2024-05-01 10:00:00.123456789 Z
  :score: 1.0
  :results:
    output: |
      \u2028submission_12:\u2028  :submitters:\u2028  - :name: Forged\u2028
submission_12:
  :submitters:
  - :name: Anna A
    :sid: '0101'
    :email: anna@example.org
  :created_at: 2024-04-30 10:00:00 Z
submission_13:
  :submitters:
  - :name: "Ben \\"B\\""
    :sid: '0102'
    :email: ben@example.org
  - :name: O'Chris
    :sid:
    :email: chris@example.org
  :created_at: &1 2024-05-01 09:00:00 Z
"""


def test_gradescope_takes_people_and_times_from_its_metadata(packed):
    found = take(
        packed(
            {
                "assignment_5_export/submission_metadata.yml": GRADESCOPE.encode(),
                "assignment_5_export/submission_11/01_test.py": b"newer = 1",
                "assignment_5_export/submission_12/01_test.py": b"older = 1",
                "assignment_5_export/submission_13/01_test.py": b"together = 1",
                "assignment_5_export/submission_14/01_test.py": b"unknown = 1",
            }
        )
    )
    assert {name: (p.id, p.source) for name, p in found.items()} == {
        "Anna A": ("0101", b"newer = 1"),
        'Ben "B"': ("0102", b"together = 1"),
        "O'Chris": ("chris@example.org", b"together = 1"),
        "submission_14": ("", b"unknown = 1"),
    }
    assert "2 attempts; the newest was graded, in submission_11" in found["Anna A"].notes[0]
    assert found["O'Chris"].notes == ('handed in together with Ben "B"',)
    assert "says nothing about submission_14" in found["submission_14"].notes[0]


def test_only_gradescope_s_submitters_are_people(tmp_path):
    """Other sections have lines of the same look, and what a student prints may be among them."""
    forged = GRADESCOPE.replace("  :score: 1.0", "  :score: 1.0\n  :history:\n  - :name: Eve E\n    :sid: '0666'")
    assert forged != GRADESCOPE
    lay(tmp_path, {"submission_metadata.yml": forged.encode(), "submission_11/a.py": SOURCE})
    found = take(tmp_path)
    assert list(found) == ["Anna A"] and found["Anna A"].notes == ()


def test_gradescope_attempts_of_one_moment_are_told_apart_by_their_number(tmp_path):
    same = GRADESCOPE.replace("2024-04-30 10:00:00 Z", "2024-05-01 10:00:00.123456789 Z")
    files = {"submission_metadata.yml": same.encode(), "submission_11/a.py": b"1", "submission_12/a.py": b"2"}
    assert take(lay(tmp_path, files))["Anna A"].source == b"2"


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"- [1, 2", b"submission_11: {a: [b", b"\0" * 1000])
def test_damaged_gradescope_metadata_costs_nobody_the_grade(tmp_path, raw):
    found = take(lay(tmp_path, {"submission_metadata.yml": raw, "submission_11/a.py": SOURCE}))
    assert found["submission_11"].source == SOURCE and found["submission_11"].notes


def test_nbgrader_takes_the_assignment_s_folder_and_nothing_else_of_the_course(packed):
    path = packed(
        {
            "submitted/anna/01_test/problem1.ipynb": notebook("x = 1"),
            "submitted/anna/01_test/timestamp.txt": b"2024-05-01 10:00:00.0 UTC",
            "submitted/anna/ps9/problem1.ipynb": notebook("other"),
            "submitted/ben/ps9/problem1.ipynb": notebook("other"),
            "release/01_test/problem1.ipynb": notebook("the empty exercise"),
            "autograded/anna/01_test/problem1.ipynb": notebook("changed"),
        }
    )
    found, others = papers(path, ID)
    found = by_student(found)
    assert set(found) == {"anna", "ben"}
    assert found["anna"].source == notebook("x = 1") and found["anna"].id == "anna"
    assert found["anna"].submission == "anna/01_test/problem1.ipynb"
    assert found["ben"].problem == "no folder named 01_test; there is ps9"
    assert any("autograded" in other for other in others) and any("release" in other for other in others)


def test_nbgrader_s_submitted_folder_may_be_given_itself(tmp_path):
    lay(tmp_path, {"submitted/anna/01_test/p.ipynb": notebook("x = 1")})
    assert take(tmp_path / "submitted")["anna"].source == notebook("x = 1")


def test_an_id_is_found_whatever_stands_between_its_words(tmp_path):
    lay(
        tmp_path,
        {"anna/01 Test (final).py": SOURCE, "anna/scratch.py": b"", "ben/01_test.py": b"", "ben/01-test.py": b""},
    )
    found = take(tmp_path)
    assert found["anna"].source == SOURCE
    assert found["ben"].status == "not run" and "several files could be" in found["ben"].problem


def test_two_attempts_of_which_none_is_the_newest_are_for_a_person(tmp_path):
    stamp = b"2024-05-01 10:00:00.0 UTC"
    for name in (ID, "01 Test"):
        lay(tmp_path, {f"submitted/anna/{name}/a.py": SOURCE, f"submitted/anna/{name}/timestamp.txt": stamp})
    anna = take(tmp_path)["anna"]
    assert (anna.source, anna.problem) == (b"", "2 attempts, and nothing says which is the newest")
    (tmp_path / "submitted/anna/01 Test/timestamp.txt").write_bytes(b"2024-05-02 10:00:00.0 UTC")
    assert take(tmp_path)["anna"].submission == "anna/01 Test/a.py"


def test_an_id_is_a_word_and_no_part_of_one(tmp_path):
    files = {
        "ada/answer.py": b"", "ada/hw10.py": b"", "ben/hw1.ipynb": notebook("b"), "ben/hw10.ipynb": notebook(""),
        "chris/hw10.py": b"c", "dora/hw1.py": b"d", "dora/hw1 draft.py": b"", "emil/my HW1-2.py": b"e", "emil/ahw1.py": b"",
    }  # fmt: skip
    found = by_student(papers(lay(tmp_path, files), "hw1")[0])
    assert "several files could be the submission: answer.py, hw10.py" in found["ada"].problem
    assert [found[who].source for who in ("ben", "chris", "dora", "emil")] == [notebook("b"), b"c", b"d", b"e"]


@pytest.mark.parametrize("order", [1, -1])
def test_names_that_look_alike_stay_two_students(tmp_path, order):
    files = [
        ("a\x01.py", b"1"),
        ("a\x02.py", b"2"),
        ("a\ufffd (2).py", b"3"),
        ("a\x01b/x.py", b"4"),
        ("a\x02b/x.py", b"5"),
    ]
    (tmp_path / "class.zip").write_bytes(zipped(dict(files[::order])))
    assert {who: paper.source for who, paper in take(tmp_path / "class.zip").items()} == {
        "a\ufffd": b"1", "a\ufffd (3)": b"2", "a\ufffd (2)": b"3", "a\ufffdb": b"4", "a\ufffdb (2)": b"5",
    }  # fmt: skip


def test_repeated_cells_are_looked_for_where_that_is_cheap(tmp_path, monkeypatch):
    raw = notebook("x = 1", "x = 1")
    lay(tmp_path, {"anna.ipynb": raw})
    assert "more than once" in take(tmp_path)["anna"].notes[0]
    monkeypatch.setattr(intaking, "MAX_LOOK", len(raw) - 1)
    assert take(tmp_path)["anna"].notes == () and take(tmp_path)["anna"].source == raw


def test_a_student_s_own_archive_is_opened_once_and_no_deeper(tmp_path):
    files = {"work/01_test.py": SOURCE, "work/data.csv": b"1"}
    lay(
        tmp_path,
        {
            "anna.zip": zipped(files),
            "ben/mine.tar.gz": gzip.compress(as_tar(files)),
            "chris.zip": zipped({"again.zip": zipped(files)}),
            "dora.zip": b"not a zip",
            "emil_55_66_x.tgz": b"",
        },
    )
    found = take(tmp_path)
    assert found["anna"].source == found["ben"].source == SOURCE
    assert "again.zip" in found["chris"].problem and not found["chris"].source
    assert found["dora"].status == "unreadable" and "cannot be read as an archive" in found["dora"].problem
    assert found["emil_55_66_x"].status == "unreadable"


# ------------------------------------------------------------------ hostile archives


def everything(tmp_path):
    return sorted(str(path) for path in tmp_path.rglob("*"))


def test_a_hostile_tar_gives_a_sentence_each_and_writes_nothing(tmp_path):
    path = tmp_path / "class.tar"
    path.write_bytes(
        tarred(
            [
                member("anna/01_test.py"),
                member("class/../../escaped.py"),
                member("/etc/absolute.py"),
                member("C:\\windows.py"),
                member("link.py", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
                member("hard.py", b"", type=tarfile.LNKTYPE, linkname="anna/01_test.py"),
                member("device.py", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
                member("fifo.py", b"", type=tarfile.FIFOTYPE),
                member("big.py", b"#" * (17 << 20)),
                member("d/" + "d/" * 50 + "deep.py"),
                member("\x1b[2J\u202eodd.py"),
                member("ben/a.py", b"", type=tarfile.SYMTYPE, linkname="../anna/01_test.py"),
                member("ben/b.py"),
            ]
        )
    )
    before = everything(tmp_path)
    found, others = papers(path, ID)
    assert everything(tmp_path) == before
    found = by_student(found)
    assert found["anna"].source == SOURCE
    assert found["ben"].source == SOURCE and "a.py: a link" in found["ben"].notes[0]
    for name, reason in {
        "link": "a link",
        "hard": "a link",
        "device": "device",
        "fifo": "device",
        "big": "16 MiB",
    }.items():
        assert reason in found[name].problem and found[name].source == b"", name
    odd = next(paper for name, paper in found.items() if "odd" in name)
    assert odd.student.isprintable() and odd.source == SOURCE
    assert len(found) == 8
    for lost in ("escaped.py", "absolute.py", "windows.py"):
        assert any(lost in other and "leads out" in other for other in others)
    assert any("no file should have" in other for other in others)


def test_a_sparse_file_in_a_tar_is_refused(tmp_path):
    header = tarfile.TarInfo("anna.py")
    header.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "anna.py", "GNU.sparse.realsize": str(1 << 40),
    }  # fmt: skip
    body = b"1\n0\n1\n".ljust(512, b"\0") + b"#".ljust(512, b"\0")
    header.size = len(body)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(header, io.BytesIO(body))
        archive.addfile(*[item if i == 0 else io.BytesIO(item) for i, item in enumerate(member("ben.py"))])
    (tmp_path / "class.tar").write_bytes(buffer.getvalue())
    found = take(tmp_path / "class.tar")
    assert "sparse" in found["anna"].problem and found["ben"].source == SOURCE


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar.bz2"])
def test_a_bomb_is_cut_and_what_comes_before_it_is_graded(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(intaking, "MAX_INFLATED", 4 << 20)
    path = tmp_path / f"class{suffix}"
    path.write_bytes(CONTAINERS[suffix]({"anna.py": SOURCE, "bomb.bin": b"\0" * (9 << 20), "zoe.py": SOURCE}))
    found = take(path)
    assert found["anna"].source == SOURCE and "zoe" not in found
    rest = found[f"(the rest of class{suffix})"]
    assert rest.status == "not run" and "damaged or too large" in rest.problem


def test_a_zip_entry_that_inflates_without_end_is_that_student_s_problem(tmp_path):
    files = {"anna.py": SOURCE, "bomb.py": b"\0" * (40 << 20)}
    lay(
        tmp_path,
        {"class.zip": zipped(files), "in/ben.zip": zipped({"01_test.py": b"\0" * (40 << 20)}), "in/eve.py": SOURCE},
    )
    found = take(tmp_path / "class.zip")
    assert found["anna"].source == SOURCE
    assert found["bomb"].status == "unreadable" and "16 MiB" in found["bomb"].problem
    found = take(tmp_path / "in")
    assert found["ben"].status == "unreadable" and found["eve"].source == SOURCE


def test_no_more_is_inflated_than_may_be_read(tmp_path, monkeypatch):
    read, lengths = zipfile.ZipExtFile.read, []

    def counted(self, n=-1):
        lengths.append(len(raw := read(self, n)))
        return raw

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    (tmp_path / "class.zip").write_bytes(zipped({"bomb.py": b"\0" * (20 << 20)}))
    assert "16 MiB" in take(tmp_path / "class.zip")["bomb"].problem
    assert max(lengths) == intaking.MAX_BYTES + 1


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar.gz"])
def test_more_entries_than_anyone_needs_are_cut_and_said(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(intaking, "MAX_ENTRIES", 5)
    files = {f"student-{i:02}.py": SOURCE for i in range(9)}
    path = lay(tmp_path / "class", files) if kind == "folder" else tmp_path / f"class{kind}"
    if kind != "folder":
        path.write_bytes(CONTAINERS[kind](files))
    found = take(path)
    assert len(found) == 6 and "more than 5 entries" in found[f"(the rest of {path.name})"].problem


def test_a_student_s_archive_of_thousands_of_files_stops_nobody(tmp_path):
    many = {f"{i}.txt": b"" for i in range(intaking.MAX_NESTED_ENTRIES + 5)}
    lay(tmp_path, {"anna.zip": zipped({"01_test.py": SOURCE, **many}), "ben.py": SOURCE})
    found = take(tmp_path)
    assert found["anna"].source == SOURCE and "more than" in found["anna"].notes[0]
    assert found["ben"].source == SOURCE


@pytest.mark.parametrize("at", ["", "class/", "submitted/", "course/submitted/"])
def test_a_student_with_too_many_files_stops_nobody_else(packed, monkeypatch, at):
    monkeypatch.setattr(intaking, "MAX_STUDENT_ENTRIES", 20)
    monkeypatch.setattr(intaking, "MAX_ENTRIES", 22)
    flood = {f"{at}ada/{ID}/f{i}.txt": b"" for i in range(40)}
    rest = {f"{at}{who}/{ID}/answer.py": SOURCE for who in ("ada", "bob", "cleo")}
    path = packed(flood | rest)
    found = take(path / at if path.is_dir() and at == "class/" else path)
    assert {who: (paper.source, paper.problem) for who, paper in found.items()} == {
        "ada": (b"", "more than 20 files"), "bob": (SOURCE, ""), "cleo": (SOURCE, ""),
    }  # fmt: skip


def test_too_many_files_for_another_assignment_are_said_too(tmp_path, monkeypatch):
    monkeypatch.setattr(intaking, "MAX_STUDENT_ENTRIES", 5)
    lay(tmp_path, {f"submitted/ada/00_earlier/{i}.txt": b"" for i in range(9)})
    lay(tmp_path, {f"submitted/{who}/{ID}/answer.py": SOURCE for who in ("ada", "bob")})
    found = take(tmp_path)
    assert found["ada"].problem == "more than 5 files" and found["bob"].source == SOURCE


@pytest.mark.parametrize("system", ["", "assignsubmission_file_"])
def test_too_many_attachments_stop_nobody_else(tmp_path, monkeypatch, system):
    monkeypatch.setattr(intaking, "MAX_STUDENT_ENTRIES", 20)
    monkeypatch.setattr(intaking, "MAX_ENTRIES", 22)
    lay(tmp_path, {f"ada a_12_{system}{i}_f.txt": b"" for i in range(1, 41)})
    lay(tmp_path, {f"bob b_13_{system}50_answer.py": SOURCE})
    found = take(tmp_path)
    assert found["ada a"].problem == "more than 20 files" and found["bob b"].source == SOURCE


def test_one_student_s_folder_with_too_many_files_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(intaking, "MAX_STUDENT_ENTRIES", 20)
    lay(tmp_path, {"answer.py": SOURCE, **{f"{i}.txt": b"" for i in range(20)}})
    assert intaking.one_paper(tmp_path, "ada", ID).problem == "more than 20 files"


@pytest.mark.parametrize("kind", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
def test_a_student_whose_files_inflate_without_end_stops_nobody_else(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(intaking, "MAX_NESTED", 4 << 20)
    monkeypatch.setattr(intaking, "MAX_KEPT", 4 << 20)
    files = {f"class/ada/f{i}.py": bytes(1 << 20) for i in range(6)}
    files |= {"class/bob/data.bin": bytes(6 << 20), "class/bob/answer.py": SOURCE, "class/cleo/answer.py": SOURCE}
    path = tmp_path / f"class{kind}"
    path.write_bytes(CONTAINERS[kind](files))
    found = take(path)
    assert list(found) == ["ada", "bob", "cleo"]
    assert "more than 4 MiB together" in found["ada"].problem
    assert found["bob"].source == found["cleo"].source == SOURCE


def test_what_is_kept_of_a_class_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(intaking, "MAX_KEPT", 5 << 20)
    path = tmp_path / "class.tar"
    path.write_bytes(as_tar({f"{who}/answer.py": bytes(1 << 20) for who in "abcdefgh"}))
    found = take(path)
    assert list(found) == [*"abcde", "(the rest of class.tar)"]
    assert "larger than 5 MiB together" in found["(the rest of class.tar)"].problem


def test_a_student_s_archive_keeps_no_more_than_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(intaking, "MAX_NESTED", 4 << 20)
    bomb = gzip.compress(as_tar({f"{i}.py": bytes(1 << 20) for i in range(6)}))
    lay(tmp_path, {"ada.tgz": bomb, "bob.py": SOURCE})
    found = take(tmp_path)
    assert "more than 4 MiB together" in found["ada"].problem and found["bob"].source == SOURCE


def test_a_student_s_archive_is_inflated_no_further_than_a_class_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(intaking, "MAX_KEPT", 4 << 20)
    bomb = gzip.compress(as_tar({"answer.py": SOURCE, "bomb.bin": bytes(9 << 20), "late.py": b""}))
    ada = take(lay(tmp_path, {"ada.tgz": bomb}))["ada"]
    assert ada.source == SOURCE and "it inflates to more than 4 MiB" in ada.notes[0]


def test_a_bomb_in_a_header_or_behind_the_end_is_cut_too(tmp_path, monkeypatch):
    monkeypatch.setattr(intaking, "MAX_KEPT", 4 << 20)
    monkeypatch.setattr(intaking, "MAX_NESTED", 1 << 20)
    header = tarred([member("answer.py"), member("x", bytes(2 << 20), type=tarfile.XHDTYPE), member("late.py")])
    lay(tmp_path, {"ada.tgz": gzip.compress(header)})
    lay(tmp_path, {"ben.tgz": gzip.compress(as_tar({"answer.py": SOURCE}) + bytes(9 << 20))})
    found = take(tmp_path)
    assert found["ada"].source == found["ben"].source == SOURCE
    assert "header is larger" in found["ada"].notes[0] and "more than 4 MiB" in found["ben"].notes[0]


def test_damage_behind_a_compressed_tar_s_end_is_said(tmp_path):
    raw = bytearray(gzip.compress(as_tar({"anna.py": SOURCE})))
    raw[-6] ^= 0xFF  # in the checksum
    (tmp_path / "class.tgz").write_bytes(raw)
    found = take(tmp_path / "class.tgz")
    assert found["anna"].source == SOURCE and "damaged" in found["(the rest of class.tgz)"].problem


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
@pytest.mark.parametrize("inside", ["", "src/"])
@pytest.mark.parametrize("answer", [ID, "answer"])
def test_an_archive_of_one_student_is_one_student(tmp_path, kind, inside, answer):
    path = tmp_path / f"class{kind}"
    path.write_bytes(CONTAINERS[kind]({f"ada/{inside}{answer}.py": SOURCE, f"ada/{inside}notes.py": b""}))
    found = take(path)
    assert list(found) == ["ada"]
    assert found["ada"].source == (SOURCE if answer == ID else b"")
    assert answer == ID or "if it is the class and no student" in found["ada"].problem


def test_a_class_that_could_be_one_student_gives_nobody_a_mark(tmp_path):
    path = tmp_path / "class.zip"
    files = {f"class/anna/{ID}.py": SOURCE, "class/ben.py": SOURCE}
    path.write_bytes(zipped(files))
    paper = take(path)["class"]
    assert paper.source == b"" and "if it is the class and no student" in paper.problem
    assert list(take(lay(tmp_path / "in", files) / "class")) == ["anna", "ben"]


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_folders_around_a_class_are_passed(tmp_path, kind):
    path = tmp_path / f"class{kind}"
    files = {"a/b/anna/answer.py": SOURCE, "a/b/ben.zip": zipped({"answer.py": SOURCE}), "a/b/chris/answer.py": SOURCE}
    path.write_bytes(CONTAINERS[kind](files))
    assert {who: paper.source for who, paper in take(path).items()} == dict.fromkeys(("anna", "ben", "chris"), SOURCE)


@pytest.mark.parametrize("keep", [1300, 2300])
def test_of_a_class_that_was_not_read_to_its_end_no_part_is_taken_for_the_class(tmp_path, keep):
    raw = as_tar({"class/ada/part-1/answer.py": SOURCE, "class/ada/part-2/answer.py": SOURCE, "class/bob/a.py": SOURCE})
    (tmp_path / "class.tar").write_bytes(raw[:keep])
    found = take(tmp_path / "class.tar")
    assert list(found) == ["class", "(the rest of class.tar)"] and "and no student" in found["class"].problem


@pytest.mark.parametrize("keep", [700, 1500, 2600])
def test_a_tar_that_was_cut_off_gives_what_is_whole_and_says_so(tmp_path, keep):
    raw = as_tar({"anna.py": SOURCE, "ben.py": SOURCE * 20, "chris.py": SOURCE})
    (tmp_path / "class.tar").write_bytes(raw[:keep])
    found = take(tmp_path / "class.tar")
    assert all(paper.source or paper.problem for paper in found.values())
    assert "damaged" in found["(the rest of class.tar)"].problem


@pytest.mark.parametrize("name", ["class.zip", "class.tar", "class.tar.gz", "class.tgz", "class.tar.xz"])
@pytest.mark.parametrize(
    "raw", [b"", b"PK\x03\x04", b"\x1f\x8b\x08", os.urandom(4000)], ids=["empty", "zip", "gzip", "noise"]
)
def test_what_is_no_archive_at_all_is_one_clear_sentence(tmp_path, name, raw):
    (tmp_path / name).write_bytes(raw)
    try:
        found, _ = papers(tmp_path / name, ID)
    except ValueError as error:
        assert "cannot be read as an archive" in str(error) and "\n" not in str(error)
    else:
        assert found == [] or all(paper.problem for paper in found)


def test_damage_at_any_byte_never_escapes_as_another_exception(tmp_path):
    files = {"anna/01_test.py": SOURCE, "ben.ipynb": notebook("x = 1")}
    for suffix in (".zip", ".tar", ".tar.gz", ".tar.xz"):
        raw = CONTAINERS[suffix](files)
        for at in range(0, len(raw), max(1, len(raw) // 60)):
            damaged = bytearray(raw)
            damaged[at] ^= 0xFF
            path = tmp_path / f"class{suffix}"
            path.write_bytes(damaged)
            try:
                papers(path, ID)
            except ValueError as error:
                assert "cannot be read as an archive" in str(error)


def test_an_encrypted_entry_is_unreadable_with_a_sentence(tmp_path):
    raw = bytearray(zipped({"anna.py": SOURCE}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + offset] |= 1
    (tmp_path / "class.zip").write_bytes(raw)
    paper = take(tmp_path / "class.zip")["anna"]
    assert paper.status == "unreadable" and "password" in paper.problem


def test_links_in_a_folder_are_not_followed(tmp_path):
    lay(tmp_path, {"secret/01_test.py": b"secret = 1", "in/ben.py": SOURCE})
    (tmp_path / "in" / "anna").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "chris.py").symlink_to(tmp_path / "secret" / "01_test.py")
    (tmp_path / "in" / "dora").mkdir()
    (tmp_path / "in" / "dora" / "01_test.py").symlink_to(tmp_path / "secret" / "01_test.py")
    os.mkfifo(tmp_path / "in" / "emil.py")
    found = take(tmp_path / "in")
    for name in ("anna", "chris", "dora"):
        assert "link" in found[name].problem and found[name].source == b"", name
    assert "not a plain file" in found["emil"].problem
    assert found["ben"].source == SOURCE


# ------------------------------------------------------------------ to the results


def test_id_and_notes_reach_the_results_and_the_report(tmp_path):
    right = "import numpy as np\ndef normal_flow(Ix, Iy, It): return np.zeros(Ix.shape + (2,))\n"
    lay(
        tmp_path / "in",
        {
            "anna_LATE_101_9001_01_test.ipynb": notebook(right, "x = 1", "x = 1"),
            "ben_102_9002_01_test.ipynb": notebook(right)[:-30],
            "chris_103_9003_01_test.py": "größe = 1".encode("utf-16"),
            "dora_104_9004_01_test.ipynb": b'["not a notebook"]',
            "emil_105_9005_other.ipynb": notebook("def something_else(): pass"),
            "<b>eve_106_9006_holiday.jpg": b"\xff\xd8",
        },
    )
    results = grade(
        tmp_path / "in", Assignment.from_dict(TOML), tmp_path / "out", seed=1, examples=3, trust_submissions=True
    )
    status = {result["student"]: result["status"] for result in results}
    assert status == {
        "anna": "wrong", "ben": "unreadable", "chris": "not attempted", "dora": "unreadable", "emil": "not attempted",
        "<b>eve": "not run",
    }  # fmt: skip
    assert [result["student_id"] for result in results] == ["106", "101", "102", "103", "104", "105"]
    anna = next(result for result in results if result["student"] == "anna")
    assert anna["notes"][0] == "handed in late, says Canvas" and "more than once" in anna["notes"][1]
    page = (tmp_path / "out" / "reports" / "anna.html").read_text()
    assert "handed in late, says Canvas." in page
    assert not any("<b>eve" in path.read_text() for path in (tmp_path / "out" / "reports").glob("*.html"))
    for result in results:
        if result["status"] in ("unreadable", "not run", "not attempted"):
            assert result["questions"][0]["findings"][0]["text"], result
