import pytest

from fashion_ops.distributed.payload import count_devices, pack_folder, publish_files, unpack_folder


def test_folder_survives_the_journey(tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "b.json").write_bytes(b"{}")
    (source / "deep" / "a.bin").write_bytes(bytes(range(256)))
    files = pack_folder(source)
    assert list(files) == ["b.json", "deep/a.bin"]
    unpack_folder(files, tmp_path / "copy")
    assert pack_folder(tmp_path / "copy") == files


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pack_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt"])
def test_a_name_that_leads_out_is_refused_and_the_old_folder_stays(tmp_path, name):
    target = tmp_path / "model"
    publish_files(target, {"old.txt": b"old"})
    with pytest.raises(ValueError, match="leads out"):
        publish_files(target, {"new.txt": b"new", name: b"evil"})
    assert pack_folder(target) == {"old.txt": b"old"}
    assert not list(tmp_path.rglob("out.txt"))


@pytest.mark.parametrize(
    ("visible", "requested", "batch_size", "samples", "devices"),
    [
        ("0,1,2,3", 4, 16, 500, 4),
        ("0,1,2,3", 4, 16, 6, 3),  # a batch of six
        ("0,1,2,3", 2, 16, 7, 1),
        ("5", 4, 16, 500, 1),  # the task was given one
        ("", 4, 16, 500, 1),
        ("0,1", 2, 16, 0, 2),  # refused later, by name
    ],
)
def test_devices_split_the_batch_evenly(monkeypatch, visible, requested, batch_size, samples, devices):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_devices(requested, batch_size, samples) == devices
