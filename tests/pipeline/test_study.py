import json

from fusecat.pipeline.study import remember_command
from fusecat.stages.study_record import StudyRecord, read_study
from fusecat.stages.workspace import Workspace


def test_commands_are_remembered_in_order_and_once(tmp_path):
    place = Workspace(tmp_path)
    place.study.write_text(json.dumps({"metric": "accuracy", "commands": ["fusecat extract"]}))
    for command in ("fusecat fuse", "fusecat fuse --fusion all", "fusecat fuse"):
        remember_command(place, command)
    commands = ("fusecat extract", "fusecat fuse", "fusecat fuse --fusion all")
    assert read_study(place) == StudyRecord(metric="accuracy", commands=commands)


def test_without_a_study_nothing_is_written(tmp_path):
    remember_command(Workspace(tmp_path), "fusecat fuse")
    assert not list(tmp_path.iterdir())
