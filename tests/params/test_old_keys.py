"""Keys of earlier versions are read, merged under their name of today, and never mixed with it."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from fashion_ops.params import OLD_KEYS, Params, load_params, rename_old_keys
from fashion_ops.params.recipes import Change, configure

ROOT = Path(__file__).parents[2]
OLD = re.compile(r"^(fleet|inbox|  min_pictures):", re.MULTILINE)


def written_before(text: str) -> str:
    """``params.yaml`` as an earlier version had it."""
    text = text.replace("\ndistributed:", "\nfleet:").replace("\nbatches:", "\ninbox:")
    text = text.replace("\n  min_images:", "\n  min_pictures:")
    return re.sub(r"(\n  )images: (?=\d)", r"\1pictures: ", text)


@pytest.fixture
def old(tmp_path):
    """A parameter file of an earlier version in which each renamed key differs from its default."""
    text = written_before((ROOT / "params.yaml").read_text())
    for line, changed in (
        ("\n  workers: 2", "\n  workers: 7"),
        ("\n  min_pictures: 100", "\n  min_pictures: 5"),
        ("\n  pictures: 500", "\n  pictures: 123"),
        ("\n  pictures: 200", "\n  pictures: 456"),
        ("\n  pictures: 12 ", "\n  pictures: 7 "),
    ):
        assert text.count(line) == 1
        text = text.replace(line, changed)
    (tmp_path / "params.yaml").write_text(text)
    return tmp_path / "params.yaml"


def test_an_old_file_loads_and_equals_the_new_one(old):
    assert len(OLD.findall(old.read_text())) == 3
    assert len(re.findall(r"\n  pictures: (?:123|456|7)\b", old.read_text())) == 3
    params = load_params(old)
    assert (params.distributed.workers, params.batches.min_images, params.drift.images) == (7, 5, 123)
    new = yaml.safe_load((ROOT / "params.yaml").read_text())
    new["distributed"]["workers"], new["batches"]["min_images"], new["drift"]["images"] = 7, 5, 123
    new["tune_postprocess"]["images"], new["evaluate"]["images"] = 456, 7
    assert params == Params.model_validate(new)


def test_renaming_leaves_the_given_parameters_as_they_are():
    given = {"inbox": {"min_pictures": 5}, "seed": 3}
    assert rename_old_keys(given) == {"batches": {"min_images": 5}, "seed": 3}
    assert given == {"inbox": {"min_pictures": 5}, "seed": 3}


def test_keys_of_other_sections_keep_their_names():
    """``pictures`` is the old name of a key in three sections."""
    given = {"ingest": {"pictures": 3}, "drift": {"pictures": 4}}
    assert rename_old_keys(given) == {"ingest": {"pictures": 3}, "drift": {"images": 4}}


def test_an_old_recipe_is_merged_under_the_new_keys(tmp_path):
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("fleet: {workers: 3}\ninbox:\n  min_pictures: 9\ndrift: {pictures: 77}\n")
    before = params.read_text().splitlines()
    assert set(configure(params, [recipe])) == {
        Change("distributed.workers", 2, 3),
        Change("batches.min_images", 100, 9),
        Change("drift.images", 500, 77),
    }
    after = params.read_text().splitlines()
    changed = [b for a, b in zip(before, after, strict=True) if a != b]
    assert [line.partition(" #")[0].rstrip() for line in changed] == [
        "  min_images: 9",
        "  images: 77",
        "  workers: 3",
    ]


def test_an_old_file_gets_the_new_keys_when_a_recipe_changes_it(old):
    recipe = old.with_name("recipe.yaml")
    recipe.write_text("distributed: {workers: 3}\nbatches: {min_images: 9}\n")
    before = old.read_text()
    assert set(configure(old, [recipe])) == {
        Change("distributed.workers", 7, 3),
        Change("batches.min_images", 5, 9),
    }
    after = old.read_text()
    assert not OLD.findall(after) and load_params(old).drift.images == 123
    comments = [[line.partition("#")[2] for line in text.splitlines()] for text in (before, after)]
    assert comments[0] == comments[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fleet: {workers: 1}\ndistributed: {workers: 1}\n",
            "fleet is the old name of distributed, and both are given: keep distributed",
        ),
        (
            "inbox: {}\nbatches: {}\n",
            "inbox is the old name of batches, and both are given: keep batches",
        ),
        (
            "inbox: {min_pictures: 1, min_images: 2}\n",
            "batches.min_pictures is the old name of batches.min_images, and both are given: keep "
            "batches.min_images",
        ),
        (
            "drift: {pictures: 1, images: 1}\n",
            "drift.pictures is the old name of drift.images, and both are given: keep drift.images",
        ),
    ],
)
def test_a_key_under_both_names_is_refused(tmp_path, text, message):
    both = tmp_path / "both.yaml"
    both.write_text(text)
    with pytest.raises(ValueError, match=r"both\.yaml: not valid") as caught:
        load_params(both)
    assert any(line.endswith(message) for line in str(caught.value).splitlines())
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))
    before = params.read_bytes()
    with pytest.raises(ValueError, match=r"both\.yaml: ") as caught:
        configure(params, [both])
    assert str(caught.value) == f"{both}: {message}"
    assert params.read_bytes() == before


def test_every_old_key_leads_to_a_key_of_today():
    for path, new in OLD_KEYS.items():
        section, _, _ = path.rpartition(".")
        model = type(getattr(Params(), section)) if section else Params
        assert new in model.model_fields
