"""Results out: only marks go into the teacher's file, to the right student or to none, and no text acts on anyone."""

import csv
import io
import json
import re
import sqlite3
import subprocess
import sys
import zipfile

import pytest

from vidlearn.cli import main
from vidlearn.grade.exports import fill_canvas, fill_moodle, gradescope, plain_csv, read_results
from vidlearn.grade.gradebook import Gradebook
from vidlearn.grade.intake import papers
from vidlearn.grade.nbgrader import gradebook_csv


def result(student, score=4.5, most=5.0, status="partly", **more):
    question = {
        "operation": "flow.normal_flow", "score": score, "max_score": most, "status": status,
        "findings": [{"kind": "breaks", "text": "gradient vanishes", "points": 0.0}], "output": "",
    }  # fmt: skip
    return {
        "submission": f"{student}.py", "student": student, "score": score, "max_score": most, "status": status,
        "isolation": None, "questions": [question], **more,
    }  # fmt: skip


CANVAS = (
    "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,Notes,Exercise 01 (7),Essay (8),Final Score,Final Grade\r\n"
    ",,,,,,Manual Posting,,,\r\n"
    "    Points Possible,,,,,,5.00,10.00,(read only),(read only)\r\n"
    '"Ferro, Ana",1001,s-1,ana@x.edu,"A, B","said ""hi""",,9.5,,\r\n'
    '"Zorn, Bea",1002,s-2,bea,A,=1+1,"3.00",,,\r\n'
    '"Kim, Lee",1003,s-3,lee1,A,,,,,\r\n'
    '"Kim, Lee",1004,s-4,lee2,A,,,,,\r\n'
    '"Öz, Can",1005,,can,A,,EX,,,\r\n'
    '"Student, Test",1006,,,A,,,,,'
).encode()

MOODLE = (
    'Identifier,"Full name","Email address",Status,Grade,"Maximum Grade","Grade can be changed",'
    '"Last modified (submission)","Last modified (grade)","Feedback comments"\n'
    '"Participant 31","Ana Ferro",ana@x.edu,"Submitted",,5.00,Yes,"Monday, 2 June 2025, 9:00 AM",-,"=cmd|\'x\'!A1"\n'
    '"Participant 32","Bea Zorn",bea@x.edu,"Submitted",1.00,5.00,Yes,"Monday, 2 June 2025, 9:01 AM",-,\n'
    '"Participant 33","Can Öz",can@x.edu,"Submitted",2.00,5.00,No,"Monday, 2 June 2025, 9:02 AM",-,\n'
).encode()


# ------------------------------------------------------------------------------------------------ Canvas, Moodle


@pytest.mark.parametrize(
    "student", ["1001", "s-1", "ana@x.edu", "ANA@X.EDU", "Ana Ferro", "ferro, ana", "ferroana_1001_555_hw", "Ana_Ferro"]
)
def test_a_mark_goes_to_the_students_cell_and_no_other_byte_changes(student):
    filled = fill_canvas([result(student)], CANVAS, "Exercise 01")
    assert filled.data == CANVAS.replace(b'""hi""",,9.5', b'""hi""",4.50,9.5')
    assert (filled.written, filled.unmatched, filled.notes) == (1, [], [])


def test_a_quoted_cell_stays_quoted_and_a_number_after_the_title_is_accepted():
    filled = fill_canvas([result("bea", 5)], CANVAS, "Exercise 01 (7)")
    assert filled.data == CANVAS.replace(b'"3.00"', b'"5.00"')


def test_two_students_of_one_name_are_listed_and_not_guessed():
    filled = fill_canvas([result("Lee Kim")], CANVAS, "Exercise 01")
    assert filled.data == CANVAS
    assert filled.unmatched == ["Lee Kim: several students of the gradebook fit"]


def test_an_id_counts_before_a_login_and_a_login_before_a_name():
    book = b"Student,ID,SIS Login ID,Section,E (1)\nbea,1,77,A,\nAna,2,bea,A,\nCan,77,x,A,\n"
    assert b"Can,77,x,A,4.50\n" in fill_canvas([result("77")], book).data
    assert b"Ana,2,bea,A,4.50\n" in fill_canvas([result("bea")], book).data


def test_the_course_systems_id_counts_and_a_shown_name_is_no_id():
    def fills(student, number, submission):
        return (
            b'hi""",4.50'
            in fill_canvas([result(student, student_id=number, submission=submission)], CANVAS, "Exercise 01").data
        )

    assert fills("ferroana", "1001", "ferroana_1001_555_hw.ipynb")
    assert fills("1002", "1001", "1002_1001_555_hw.ipynb")
    assert fills("x_1002_5_y", "s-1", "submission_5/hw.ipynb"), "a name that imitates a file's is only a name"
    assert fills("bea", "ana@x.edu", "submission_5/hw.ipynb") and fills("bea", "s-1", "submission_5/hw.ipynb")
    assert not fills("bea", "99", "bea_99_555_hw.ipynb")
    assert fills("Ana Ferro", "99", "Ana Ferro_99_assignsubmission_file_/hw.ipynb")
    assert fills("1001", "1001", "1001/01/hw.ipynb") and fills("s-1", "s-1", "s-1/01/hw.ipynb")


def test_an_id_of_the_university_that_is_someone_elses_here_marks_nobody():
    filled = fill_canvas([result("Bea Zorn", student_id="s-1", submission="submission_5/hw.py")], CANVAS, "Exercise 01")
    assert filled.data == CANVAS
    assert filled.unmatched == ["Bea Zorn: several students of the gradebook fit"]


CANVAS_31 = b"Student,ID,SIS User ID,Integration ID,SIS Login ID,Section,E (1)\n"
MOODLE_31 = b'Identifier,"ID number","Full name","Email address",Grade\n'


@pytest.mark.parametrize(
    ("fill", "header", "rows"),
    [
        (fill_canvas, CANVAS_31, {"Canvas": b"R,31,7,7,r,A,\n", "": b"R,7,31,7,r,A,\n", "other": b"R,7,7,31,r,A,\n",
                                  "login": b"R,7,7,7,31,A,\n"}),
        (fill_moodle, MOODLE_31, {"Moodle": b"Participant 31,7,R,r,\n", "": b"Participant 7,31,R,r,\n",
                                  "login": b"Participant 7,7,R,31,\n"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("place", "issuer"),
    [
        ("doejane_31_555_hw.py", ("Canvas",)),
        ("doejane_LATE_31_555_hw.zip/hw.py", ("Canvas",)),
        ("Jane Doe_31_assignsubmission_file_/hw.py", ("Moodle",)),
        ("submission_5/hw.py", ("", "other", "login")),
        ("doejane_30_31_hw.py", ()),
        ("x", ()),
    ],
)
def test_a_number_counts_in_the_columns_of_who_gave_it_and_nowhere_else(fill, header, rows, place, issuer):
    for kind, row in rows.items():
        filled = fill([result("doejane", student_id="31", submission=place)], header + row)
        if kind in issuer:
            assert (filled.written, filled.unmatched) == (1, [])
        else:
            assert (filled.data, filled.unmatched) == (header + row, ["doejane: no student of the gradebook fit"])


def test_what_is_read_from_a_download_says_where_it_is_from(tmp_path):
    with zipfile.ZipFile(tmp_path / "doejane_31_555_hw.zip", "w") as archive:
        archive.writestr("hw.py", "x = 1")
    (tmp_path / "roerick_32_556_hw.py").write_text("x = 1")
    found, _ = papers(tmp_path, "hw")
    results = [result(p.student, submission=p.submission, **p.facts()) for p in found]
    book = CANVAS_31 + b"A,31,,,,S,\nB,32,,,,S,\nC,,31,,,S,\nD,,32,,,S,\n"
    assert fill_canvas(results, book).data == book.replace(b"31,,,,S,", b"31,,,,S,4.50").replace(
        b"32,,,,S,", b"32,,,,S,4.50"
    )


def test_two_submissions_for_one_student_write_nothing():
    filled = fill_canvas([result("1001", 5), result("Ana Ferro", 1)], CANVAS, "Exercise 01")
    assert filled.data == CANVAS
    assert len(filled.unmatched) == 2


def test_nobody_is_matched_by_part_of_a_name_or_to_a_row_that_is_no_student():
    strange = ["Ana", "100", "", "Points Possible", "Manual Posting", "Student", "*", "\u202e1001", "../1001"]
    filled = fill_canvas([result(name) for name in strange], CANVAS, "Exercise 01")
    assert filled.data == CANVAS
    assert len(filled.unmatched) == len(strange)
    assert all(line.isprintable() for line in filled.unmatched)


def test_what_is_not_graded_or_excused_stays_as_it_is_and_is_named():
    filled = fill_canvas([result("bea", None, status="not run"), result("can")], CANVAS, "Exercise 01")
    assert filled.data == CANVAS
    assert "bea is not graded" in filled.notes[0]
    assert "excused" in filled.unmatched[0]


def test_marks_out_of_another_total_are_written_as_they_are_and_said_so():
    filled = fill_canvas([result("1001"), result("1002")], CANVAS, "Essay")
    assert filled.notes == ["marks are out of 5, the column is out of 10; they are not scaled"]


@pytest.mark.parametrize("column", [None, "Exercise 1", "Final Score", "Student", "Section", "=HYPERLINK(1)"])
def test_only_a_column_that_is_an_assignment_is_filled(column):
    with pytest.raises(ValueError, match=r"^column: .*'Exercise 01 \(7\)', 'Essay \(8\)'"):
        fill_canvas([result("1001")], CANVAS, column)


def test_semicolons_decimal_commas_and_old_encodings_stay():
    book = "LastName;FirstName;ID;Section;E (1);F (2)\r\nÖz;Can;5;A;;3,25\r\n".encode("cp1252")
    assert fill_canvas([result("can öz")], book, "E").data == book.replace(b";;3,25", b";4,50;3,25")
    tight = b'Student,ID,Section,E (1),F (2)\nAna,1,A,,"3,25"\n'
    assert fill_canvas([result("1")], tight, "E").data == b'Student,ID,Section,E (1),F (2)\nAna,1,A,"4,50","3,25"\n'
    wide = "\ufeffStudent\tID\tSection\tE (1)\nÖz\t5\tA\t\n"
    assert fill_canvas([result("5")], wide.encode("utf-16-le")).data.decode("utf-16-le") == wide[:-1] + "4.50\n"


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe\x00", b"PK\x03\x04\x00", b"a,b\n1,2\n", b'Student,ID,Section,"E (1)'])
def test_a_file_that_is_no_gradebook_is_refused_in_one_sentence(raw):
    for fill in (fill_canvas, fill_moodle):
        with pytest.raises(ValueError, match=r"^into: "):
            fill([result("1")], raw)


@pytest.mark.parametrize(
    "student", ["31", "Participant 31", "ana@x.edu", "Ana Ferro", "Ana Ferro_31_assignsubmission_file_"]
)
def test_moodles_worksheet_gets_the_grade_and_keeps_times_and_feedback(student):
    filled = fill_moodle([result(student)], MOODLE)
    assert filled.data == MOODLE.replace(b'"Submitted",,5.00', b'"Submitted",4.50,5.00')
    assert not filled.unmatched + filled.notes


def test_a_file_name_that_imitates_moodles_download_marks_nobody():
    parts = ["Eve Mallory_99_assignsubmission_file_", "Bea Zorn_32_assignsubmission_file_"]
    filled = fill_moodle([result("".join(parts)), result("".join(parts[::-1]))], MOODLE)
    assert filled.data == MOODLE
    assert len(filled.unmatched) == 2


@pytest.mark.parametrize("header", ["Feedback comments", '"Feedback, comments,"'])
def test_a_cell_that_ends_with_another_countrys_separator_is_no_reason_to_refuse_a_file(header):
    raw = f'Identifier;Full name;Grade;{header}\nParticipant 31;Ana;;"well,"\nParticipant 32;Bea;;"so,"\n'.encode()
    assert fill_moodle([result("32")], raw).data == raw.replace(b"Bea;;", b"Bea;4.50;")


def test_a_quotation_mark_that_is_never_closed_is_told_with_its_line():
    raw = b'Identifier;Full name;Grade\nParticipant 31;Ana;\nParticipant 32;"Bea;\n'
    with pytest.raises(ValueError, match=r"^into: a quotation mark in line 3 is never closed"):
        fill_moodle([result("31")], raw)


def test_moodles_locked_grade_stays():
    filled = fill_moodle([result("33")], MOODLE)
    assert filled.data == MOODLE
    assert "does not let change" in filled.unmatched[0]


def test_a_translated_worksheet_and_an_exported_gradebook_are_filled_too():
    german = "ID,Vollständiger Name,Bewertung,Zuletzt geändert (Bewertung)\nTeilnehmer/in 31,Can Öz,,-\n".encode()
    assert b"Can \xc3\x96z,4.50,-\n" in fill_moodle([result("31")], german).data
    book = b'"First name",Surname,"ID number","Email address","Assignment: Flow (Real)"\nAna,Ferro,9,a@x,-\n'
    assert fill_moodle([result("ferro, ana")], book, "Assignment: Flow (Real)").data == book.replace(b"-\n", b"4.50\n")
    with pytest.raises(ValueError, match="--column"):
        fill_moodle([result("9")], book)


# ------------------------------------------------------------------------------------------ Gradescope, CSV


def test_gradescope_gets_score_tests_and_harmless_text():
    hostile = result("<b>\x1b[31m")
    hostile["questions"][0]["output"] = "\x1b]0;x\x07<script>alert(1)</script>" + "a" * 100_000
    made = gradescope(hostile)
    (test,) = made["tests"]
    assert (made["score"], test["score"], test["max_score"], test["status"]) == (4.5, 4.5, 5.0, "failed")
    assert test["output_format"] == made["output_format"] == test["name_format"] == "text"
    assert "\x1b" not in json.dumps(made, ensure_ascii=False) and len(test["output"]) < 20_000
    assert "breaks: gradient vanishes" in test["output"]


def test_gradescope_reads_as_the_report_does():
    one = result("ana")
    one["questions"][0]["findings"] = [
        {"kind": "breaks", "text": "gradient vanishes", "row": "case", "points": 0.0}, {"kind": "hint", "text": "Look."},
        {"kind": "holds", "text": "points along it", "row": "law", "points": 4.5}, {"kind": "smallest", "text": "I = 1"},
    ]  # fmt: skip
    assert gradescope(one)["tests"][0]["output"].splitlines() == [
        "partly", "1 of 2 hold", "holds: points along it (4.5)", "breaks: cases: gradient vanishes",
        "The smallest input found on which it goes wrong:", "I = 1", "hint: Look.",
        "try it: paste the smallest input into a cell below your function, and follow it through by hand.",
    ]  # fmt: skip


def test_gradescope_is_told_that_there_is_no_mark_rather_than_a_zero():
    half = result("a", None, status="not run")
    half["questions"].append({**half["questions"][0], "operation": "flow.warp", "score": 5.0, "status": "correct"})
    made = gradescope(half)
    assert "score" not in made and not any("score" in test for test in made["tests"])


def test_gradescope_hides_what_the_assignment_hides_and_what_says_nothing():
    quiet = result("a")
    assert gradescope(quiet, {"flow.normal_flow": "after_published"})["tests"][0]["visibility"] == "after_published"
    quiet["questions"][0]["findings"] = []
    made = gradescope(quiet)
    assert made["tests"][0]["visibility"] == "hidden"
    assert "partly" not in made["output"]


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n=1", "＝1+1", '"=1', "|cmd", "\u200b=1"]
)
def test_no_name_is_a_formula_in_the_plain_table(name):
    rows = list(csv.reader(io.StringIO(plain_csv([result(name, -1.5)]))))
    assert rows[1][0].startswith("'") or not rows[1][0].lstrip().startswith(("=", "+", "-", "@", "＝"))
    assert rows[1][0].startswith(("'", "\ufffd")) and len(rows) == 2
    assert rows[1][4] == "-1.5", "a number stays a number"


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize(
    "name", ["a;=1+1", "a\t=1+1", 'a"; "=1+1', "a;;+1;-1", "a; ＝1+1", ";=1", "a;@x;b", "Doe, b;=1"]
)
def test_no_name_becomes_a_formula_where_another_character_separates_cells(name, delimiter):
    for text in (plain_csv([result("ana"), result(name)]), gradebook_csv([result(name)], name)):
        rows = [
            *csv.reader(io.StringIO(text), delimiter=delimiter),
            *(line.split(delimiter) for line in text.splitlines()),
        ]
        assert not any(re.match(r"[\"' \ufffd]*[=+@＝-]", cell) for row in rows for cell in row if cell[:1] != "'")


def test_a_cell_that_holds_a_separator_of_any_country_is_quoted_and_read_as_it_was():
    names = ["a;b", "a,b", "a|b", 'a"b', "a b"]
    text = plain_csv([result(name) for name in names])
    assert [row["student"] for row in csv.DictReader(io.StringIO(text))] == names
    assert [line[0] for line in text.splitlines()[1:]] == ['"', '"', '"', '"', "a"]


def test_the_plain_table_says_who_was_late_and_which_number_the_course_system_knows_them_by():
    late = result("a", student_id="1001", notes=["=late", "2 attempts"])
    first, second = csv.DictReader(io.StringIO(plain_csv([late, result("b")])))
    assert (first["student_id"], first["note"]) == ("1001", "'=late; 2 attempts")
    assert (second["student_id"], second["note"]) == ("", "")


def test_the_plain_table_leaves_out_marks_that_do_not_exist():
    (row,) = csv.DictReader(io.StringIO(plain_csv([result("a", None, status="not run")])))
    assert (row["score"], row["flow.normal_flow"], row["status"]) == ("", "", "not run")


# ------------------------------------------------------------------------------------------------ the gradebook


def test_the_gradebook_tells_what_a_run_changed(tmp_path):
    first = [result("ana", 1.0), result("bea", 5.0, status="correct"), result("can", None, status="not run")]
    second = [result("ana", 2.0), result("bea", 5.0, status="correct"), result("dan", 0.0, status="wrong")]
    with Gradebook(tmp_path / "book.db") as book:
        assert book.changes(book.add(first, "01")) == []
        book.add([result("ana", 5.0)], "02")  # another assignment is no run between
        changes = book.changes(book.add(second, "01"))
        assert [(c.student, c.before, c.after, c.was, c.now) for c in changes] == [
            ("ana", 1.0, 2.0, "partly", "partly"),
            ("can", None, None, "not run", ""),
            ("dan", None, 0.0, "", "wrong"),
        ]
        assert [entry["score"] for entry in book.history("ana")] == [1.0, 5.0, 2.0]
        assert [entry["assignment"] for entry in book.runs()] == ["01", "02", "01"]


def test_the_same_results_are_kept_once_and_a_bad_run_not_at_all(tmp_path):
    with Gradebook(tmp_path / "book.db") as book:
        assert book.add([result("ana")]) == book.add([result("ana")]) == 1
        with pytest.raises(ValueError, match="twice"):
            book.add([result("bea"), result("bea")])
        assert len(book.runs()) == 1 and book.history("bea") == []


def test_hostile_names_are_only_text_to_the_gradebook():
    names = ["'); DROP TABLE runs; --", "\x00", "\ud800", "=1+1", ""]
    with Gradebook(":memory:") as book:
        book.add([result(name) for name in names])
        assert all(len(book.history(name)) == 1 for name in names)


def test_a_file_that_is_something_else_is_left_alone(tmp_path):
    text, other = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("not a database, and long enough to be looked at " * 50)
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(ValueError, match=r"^gradebook: "):
            Gradebook(path)
        assert path.read_bytes() == before


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture
def marks(tmp_path):
    path = tmp_path / "marks" / "results.json"
    path.parent.mkdir()
    path.write_text(json.dumps([result("1001"), result("nobody\x1b[2J")]))
    (path.parent / "run.json").write_text(json.dumps({"assignment": "01", "finished": True}))
    return path


def test_the_verb_fills_a_copy_and_lists_whom_it_could_not_place(marks, tmp_path, capsys):
    book, out = tmp_path / "canvas.csv", tmp_path / "filled.csv"
    book.write_bytes(CANVAS)
    arguments = ["export", str(marks), "--to", "canvas", "--into", str(book), "--column", "Exercise 01"]
    assert main([*arguments, "--out", str(out)]) == 1
    told = capsys.readouterr()
    assert "1 of 2 marks written" in told.out and "nobody" in told.err and "\x1b" not in told.err
    assert b",4.50,9.5" in out.read_bytes() and book.read_bytes() == CANVAS
    assert main([*arguments, "--out", str(book)]) == 2, "the teacher's file is never written over"
    assert book.read_bytes() == CANVAS


def test_the_verb_writes_every_other_form(marks, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["export", str(marks), "--to", "csv", "--out", str(out)]) == 0
    assert out.read_text().count("\n") == 3
    for _ in range(2):
        assert main(["export", str(marks), "--to", "sqlite", "--out", str(tmp_path / "b.db")]) == 0
        assert "run 1, the first of this assignment" in capsys.readouterr().out
    marks.write_text(json.dumps([result("1001", 4.0), result("nobody\x1b[2J")]))
    assert main(["export", str(marks), "--to", "sqlite", "--out", str(tmp_path / "b.db")]) == 0
    assert "run 2, changes since the one before: 1" in capsys.readouterr().out
    assert main(["export", str(marks), "--to", "gradescope", "--out", str(out)]) == 2
    assert main([
        "export", str(marks), "--to", "gradescope", "--student", "101", "--out", str(out)
    ]) == 2  # fmt: skip
    assert "there is no student 101; did you mean 1001?" in capsys.readouterr().err
    assert main(["export", str(marks), "--to", "gradescope", "--student", "1001", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["score"] == 4.0


def test_an_unfinished_run_is_never_taken_for_all(marks, tmp_path, capsys):
    (marks.parent / "run.json").write_text(json.dumps({"assignment": "01", "finished": False}))
    assert main(["export", str(marks), "--to", "csv", "--out", str(tmp_path / "out")]) == 1
    assert "not finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "[" * 100_000, '[{"student": "a", "questions": []}]', json.dumps([result("a", float("nan"))])]
)  # fmt: skip
def test_results_that_are_none_are_refused_and_nothing_is_written(text, tmp_path):
    path, out = tmp_path / "results.json", tmp_path / "out.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^results: "):
        read_results(path)
    assert main(["export", str(path), "--to", "csv", "--out", str(out)]) == 2
    assert not out.exists()


def test_no_module_of_the_exports_imports_the_one_that_imports_it():
    code = "import sys, vidlearn.grade.nbgrader, vidlearn.grade.canvas; print('vidlearn.grade.exports' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "False\n"
