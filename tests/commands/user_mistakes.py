"""The table of user mistakes: what is set up, the command line, and what its one line must say.

A row is ``Mistake(name, words, says, mend, setup)``. ``says`` names the file, record or value, ``mend``
is what to do. The command runs in a workspace with parameters and nothing else, unless ``setup``
changes it. Words that start with ``papers``, ``pipelines.run`` or ``pipelines.home`` are those modules.
"""

import bz2
import gzip
import json
from pathlib import Path

from mistakes import (
    Mistake,
    both,
    cut,
    detector,
    folder,
    gone,
    put,
    repository,
    spec_without,
    table,
)

CATALOG = Path("data/catalog")
CONFLICT = "<<<<<<< HEAD\nseed: 0\n=======\nseed: 1\n>>>>>>> theirs\n"
LOCK = "schema: '2.0'\nstages:\n<<<<<<< HEAD\n  a: {}\n=======\n  b: {}\n>>>>>>> x\n"
EMPTY_TRUTH = json.dumps({"images": [], "annotations": [], "categories": []})
FLD = "data/alignment/catalog/fld/garments.parquet"
PNG = b"\x89PNG\r\n\x1a\n"
HELP = "--help` lists the options"
CHECK = "check the path"
WORKSPACE = "FASHION_OPS_ROOT"
CORRECT = "correct it"
TWICE = "seed: 1\nseed: 2"
COPY = "copy it again"
INGEST, INGEST_FLD = "`fashion-ops ingest`", "`fashion-ops ingest_alignment`"
photo = put("a.png", "")
in_folder = both(detector, folder("d"))
GONE = gone("params.yaml")

USAGE = [
    Mistake("unknown command", "predcit a.png", "predcit", HELP),
    Mistake("unknown option", "predict a.png --out o --treshold 1", "--treshold", HELP),
    Mistake("missing argument", "predict --out o", "'photos'", HELP),
    Mistake("missing option", "rollback", "--why", HELP),
    Mistake("unknown category", "finetune --category jeans", "jeans", "known: short_sleeve_top"),
    Mistake("unknown stage", "dfa_stage --stage 9", "'9'", "1"),
    Mistake("score that is no number", "predict a.png --out o --min-score nan", "nan", "from 0 to 1"),
    Mistake("infinite score", "predict a.png --out o --min-score inf", "inf", "from 0 to 1"),
    Mistake("negative score", "predict a.png --out o --min-score=-1", "-1", "from 0 to 1"),
    Mistake("score above 1", "predict a.png --out o --min-score 2", "2", "from 0 to 1"),
    Mistake("score of letters", "predict a.png --out o --min-score abc", "'abc'", "a valid number"),
    Mistake("pixels nan", "score --annotations a --predictions b --pixels nan", "nan", "from 0"),
    Mistake("temperature nan", "pseudo-label a.csv --temperature nan", "nan", "above 0"),
    Mistake("temperature 0", "pseudo-label a.csv --temperature 0", "0", "above 0"),
    Mistake("no clusters", "pseudo-label a.csv --clusters 0", "got", "greater than or equal to 1"),
    Mistake("unknown format", "export detector --format tflite", "tflite", "onnx"),
    Mistake("tiny sheet", "contact-sheet --out a.png --size 3", "got", "greater than or equal to 32"),
    Mistake("marker sheet as PNG", "sheet --out a.png", "a.png", "must end in .pdf"),
    Mistake("two scales", "measure a.png --out o --pixels-per-cm 9 --reference card", "9", "leave out"),
    Mistake("no scale", "measure a.png --out o --pixels-per-cm 0", "0", "from 0.1"),
    Mistake("unknown reference", "measure a.png --out o --reference ruler", "'ruler'", "'letter'"),
    Mistake(
        "calibration that is none",
        "measure a.png --out o --calibration c.json",
        "c.json: not a calibration",
        "as cv2.calibrateCamera returns them",
        put("c.json", "{}"),
    ),
    Mistake(
        "table of sizes that is another's",
        "measure a.png --out .",
        "sizes.csv: exists",
        "write to another path",
        put("sizes.csv", "size,price\n"),
    ),
    Mistake("port too high", "serve --port 99999", "99999", "less than or equal to 65535"),
    Mistake(
        "webhook without its secret",
        "serve --webhook https://a/v1/champion",
        "https://a/v1/champion",
        "set FASHION_OPS_WEBHOOK_SECRET",
    ),
    Mistake(
        "no folder to select from", "select none", "none: no such folder", "name a folder of photos"
    ),
    Mistake(
        "no photos to select from",
        "select d",
        "d: holds no photos",
        "name a folder of .jpg or .png files",
        folder("d"),
    ),
    Mistake(
        "a ranking of something else",
        "serve --model m --ranking a.csv",
        "a.csv: no column photo",
        "name a file of fashion-ops select",
        both(folder("m"), put("a.csv", "name,score\n")),
    ),
    Mistake("no models to serve", "serve --model none", "none", "name one, or models:/"),
    Mistake(
        "a file for the state",
        "serve --state f",
        "f/labelling/photo",
        "write to another path",
        put("f", "x"),
    ),
    Mistake("endless polls", "serve --poll 1e300", "1e+300", "above 0 to 1e+06"),
    Mistake("a million GPUs", "plan --gpus 1000000", "'1000000'", "5 digits at most"),
    Mistake(
        "a seed below 0",
        "configure r.yaml",
        "seed",
        "greater than or equal to 0",
        put("r.yaml", "seed: -1"),
    ),
    Mistake("unknown paper", "sheet --out a.pdf --paper A3", "'A3'", "'Letter'"),
    Mistake(
        "no photos beside the sheet",
        "contact-sheet --out a.png --beside photos",
        "--beside: photos is no folder",
        "name a folder of photos",
    ),
    Mistake("sheet as JPEG", "contact-sheet --out a.jpg", "a.jpg", "must end in .png"),
    Mistake("GPUs in words", "plan --gpus two", "two", "as in 1,8,64"),
    Mistake("unknown device", "plan --device B9000", "B9000", "known: H200"),
    Mistake("unknown assumption", "plan --assume speed=2", "'speed'", "known: launch_us"),
    Mistake(
        "assumption that is no number", "plan --assume decode_mpx=fast", "fast", "as in decode_mpx="
    ),
    Mistake("too busy", "plan --assume utilisation=2", "utilisation=2", "at most 1"),
    Mistake("data in words", "plan --data mine", "mine", "must be catalog or deepfashion2"),
    Mistake("no rates", "plan --measured r.csv", "r.csv: is missing", COPY),
    Mistake(
        "table without rates",
        "plan --measured r.csv",
        "['a']",
        "needs the columns step",
        put("r.csv", "a\n1\n"),
    ),
    Mistake(
        "rate in words",
        "plan --measured r.csv",
        "r.csv: line 2: 'fast'",
        "must be a number above 0",
        put("r.csv", "step,samples_per_second\nfinetune,fast\n"),
    ),
    Mistake("former plan", "distributed plan --gpus 2", "is now", "run: fashion-ops plan --gpus 2"),
    Mistake("first name of the plan", "fleet plan", "is now", "run: fashion-ops plan"),
    Mistake("size in words", "describe detector --size 256by256", "256by256", "WIDTHxHEIGHT"),
    Mistake("unknown method", "describe cat", "cat", "known: detector"),
    Mistake("unknown backbone", "describe detector --backbone vgg", "vgg", "known"),
    Mistake(
        "a table in a bucket",
        "predict photos --table s3://bucket/table --model models",
        "s3:/bucket/table: looks like a URI",
        "name a folder",
    ),
    Mistake("moved command", "ablate deepmark --table 2", "has moved", "python -m papers deepmark"),
    Mistake("unknown table", "papers deepmark --table 99", "table99", "expected one of"),
    Mistake("two tables", "papers agg-finetune --table 2 --figure gain", "gain", "expected one of"),
    Mistake("seeds in words", "papers gle --seeds one", "one", "as in 0,1,2"),
    Mistake("unknown step", "pipelines.run --select fly", "fly", HELP),
    Mistake("unknown option of the run", "pipelines.run --fast", "--fast", HELP),
]

SETTINGS = [
    Mistake("no workspace", "synthesize", "params.yaml", WORKSPACE, GONE),
    Mistake("parameters that are no YAML", "ingest", "line 1", CORRECT, put("params.yaml", "a: [")),
    Mistake("merge conflict", "aggregate", "line 1", "resolve it", put("params.yaml", CONFLICT)),
    Mistake("Latin-1", "pseudo_label", "not UTF-8", "save it so", put("params.yaml", b"a: \xe9\n")),
    Mistake("a list", "drift", "holds [1]", "must hold a mapping", put("params.yaml", "- 1\n")),
    Mistake(
        "unknown key",
        "train_detector",
        "train_detector.learning_rate",
        "not permitted",
        put("params.yaml", "train_detector: {learning_rate: 1}"),
    ),
    Mistake(
        "a value of another type",
        "tune_postprocess",
        "tune_postprocess.images",
        "got 'many'",
        put("params.yaml", "tune_postprocess: {images: many}"),
    ),
    Mistake(
        "a size of 0",
        "synthesize_alignment",
        "synthesize_alignment.train",
        "greater than or equal",
        put("params.yaml", "synthesize_alignment: {train: -1}"),
    ),
    Mistake(
        "a random backbone that stays as it is",
        "train_landmarker",
        "freeze_backbone keeps",
        "name pretrained or start_from",
        put("params.yaml", "train_landmarker: {freeze_backbone: true}"),
    ),
    Mistake(
        "photos for the first edition",
        "synthesize",
        "edition 1 uses no photos",
        "backgrounds must be null, or edition 2",
        put("params.yaml", "synthesize: {backgrounds: photos}"),
    ),
    Mistake(
        "no folder of photos",
        "synthesize",
        "synthesize.fabrics: photos is no folder",
        "name a folder of photos",
        put("params.yaml", "synthesize: {edition: 2, fabrics: photos}"),
    ),
    Mistake(
        "a folder without photos",
        "synthesize",
        "synthesize.backgrounds: photos holds no photo",
        "add some",
        both(put("params.yaml", "synthesize: {edition: 2, backgrounds: photos}"), folder("photos")),
    ),
    Mistake("a folder", "train_box_detector", "is a directory", CHECK, folder("params.yaml")),
    Mistake(
        "deep brackets", "train_landmarker", "recursion", CORRECT, put("params.yaml", "[" * 10_000)
    ),
    Mistake("NUL", "evaluate", "params.yaml", CORRECT, put("params.yaml", "a: \0")),
    Mistake("parameters of a prune", "prune", "line 1", CORRECT, put("params.yaml", "a: [")),
    Mistake("no recipe", "configure nowhere.yaml", "nowhere.yaml", CHECK),
    Mistake("broken recipe", "configure r.yaml", "r.yaml", CORRECT, put("r.yaml", "a: {")),
    Mistake(
        "key given twice", "configure r.yaml", "line 2", CORRECT, put("r.yaml", "seed: 1\nseed: 2")
    ),
    Mistake("run without workspace", "pipelines.run", "params.yaml", WORKSPACE, GONE),
    Mistake("run of garbage", "pipelines.run", "line 1", CORRECT, put("params.yaml", "a: [")),
    Mistake("home without settings", "pipelines.home", "infra/dagster.yaml", CHECK),
    Mistake("paper without workspace", "papers dfa --table 2", "params.yaml", WORKSPACE, GONE),
]

LEDGER = [
    Mistake("no DVC", "aggregate", "no DVC repository", "dvc init", dvc=True),
    Mistake("no DVC for batches", "batches", "no DVC repository", "dvc init", dvc=True),
    Mistake("no repository", "check-cache --root nowhere", "nowhere", "dvc init", dvc=True),
    Mistake("register without DVC", "register", "no DVC repository", "dvc init", dvc=True),
    Mistake(
        "conflict in dvc.lock",
        "aggregate",
        "dvc.lock: line 3",
        "git checkout --ours dvc.lock",
        both(repository, put("dvc.lock", LOCK)),
        dvc=True,
    ),
    Mistake(
        "garbage in dvc.lock",
        "check-cache --root .",
        "dvc.lock: not valid YAML",
        "git checkout --ours dvc.lock",
        both(repository, put("dvc.lock", "stages: [")),
        dvc=True,
    ),
    Mistake(
        "broken dvc.yaml",
        "aggregate",
        "dvc.yaml",
        "git checkout dvc.yaml",
        both(repository, put("dvc.yaml", "stages: [")),
        dvc=True,
    ),
]

INPUTS = [
    Mistake("no catalog", "aggregate", "data/catalog/garments.parquet", INGEST),
    Mistake(
        "garbage instead of a table",
        "aggregate",
        "garments.parquet: cannot be read as a parquet table",
        "`fashion-ops ingest` makes it again",
        put(f"{CATALOG}/garments.parquet", "no table"),
    ),
    Mistake(
        "half a table",
        "pseudo_label",
        "garments.parquet: cannot be read as a parquet table",
        INGEST,
        table(f"{CATALOG}/garments.parquet", 0.5),
    ),
    Mistake(
        "a table of something else",
        "drift",
        "images.parquet: has no column image_id",
        INGEST,
        table(f"{CATALOG}/images.parquet", x=[1]),
    ),
    Mistake(
        "an empty table",
        "train_detector",
        "garments.parquet",
        "`fashion-ops",
        put(f"{CATALOG}/garments.parquet"),
    ),
    Mistake("nothing to tune on", "tune_postprocess", "images.parquet: is missing", INGEST),
    Mistake(
        "nothing to box",
        "train_box_detector",
        "garments.parquet: no such file",
        INGEST,
        put("params.yaml", "train_box_detector: {kind: cascade_rcnn}"),
    ),
    Mistake("nothing to land on", "train_landmarker", "garments.parquet: no such file", INGEST),
    Mistake("nothing to evaluate", "evaluate", "images.parquet: is missing", INGEST),
    Mistake(
        "no further catalog",
        "evaluate",
        "data/also/shop: evaluate.also names 'shop', but there is no catalog here",
        "`fashion-ops ingest-also shop ROOT`",
        put("params.yaml", "evaluate: {also: [shop]}"),
    ),
    Mistake(
        "a further catalog that exists",
        "ingest-also shop d",
        "data/also/shop: exists",
        "choose another name",
        folder("data/also/shop"),
    ),
    Mistake("a catalog named like a path", "ingest-also a/b d", "'a/b'", "letters, digits"),
    Mistake("nothing to ingest", "ingest-also shop nowhere", "nowhere: no such file", "ingest.root"),
    Mistake("nothing to finetune", "finetune --category skirt", "is missing", "`fashion-ops"),
    Mistake("nothing to refine", "refine --category skirt", "is missing", "`fashion-ops"),
    Mistake("no raw data", "ingest", "data/raw", "ingest.root"),
    Mistake("no alignment data", "ingest_alignment", "data/alignment/raw", "ingest_alignment.root"),
    Mistake("no first stage", "dfa_stage --stage 2", "data/alignment/catalog", "ingest_alignment"),
    Mistake(
        "DFA of a data set not read in",
        "dfa_stage --stage 1",
        "catalog/lsp: no catalog here",
        "ingest_alignment.sources",
        put("params.yaml", "dfa_stage: {source: lsp}"),
    ),
    Mistake(
        "iterations as shares",
        "dfa_stage --stage 1",
        "decay is [2000, 4000]",
        "set decay_unit to iterations",
        put("params.yaml", "dfa_stage: {decay: [2000, 4000]}"),
    ),
    Mistake(
        "no catalog for GLE", "train_gle", "catalog/fld: no catalog here", "ingest_alignment.sources"
    ),
    Mistake("no DFA to register", "register_alignment", "catalog/fld: no catalog here", "ingest_align"),
    Mistake("nothing to plan", "plan", "garments.parquet: is missing", INGEST),
    Mistake("a file where a folder goes", "aggregate", "data", "move it away", put("data", "")),
    Mistake("no GLE settings", "gle train --config no.yaml", "no.yaml", CHECK),
    Mistake("no GLE catalog", "gle train", "catalog/fld", INGEST_FLD),
    Mistake("no GLE model", "gle predict --model nowhere", "nowhere: no model here", "name a folder"),
    Mistake("paper without catalog", "papers gle", "catalog/fld", INGEST_FLD),
    Mistake("no catalog for everything", "papers everything", "data/catalog", "fashion-ops ingest"),
    Mistake("no catalog for heads", "papers heads", "data/catalog: no catalog", "fashion-ops ingest"),
    Mistake(
        "no catalog for few labels",
        "papers few_labels --photos a.json",
        "data/catalog: no catalog",
        "fashion-ops ingest",
    ),
    Mistake(
        "a share of photos above 1",
        "train_landmarker",
        "train_landmarker.real_share",
        "less than or equal to 1",
        put("params.yaml", "train_landmarker: {real_share: 50}"),
    ),
    Mistake("no PCLoss data", "papers pcloss", "catalog/fld", INGEST_FLD),
    Mistake("no attributes", "papers attributes", "no catalog here", INGEST_FLD),
    Mistake("no pairs", "papers retrieval", "no catalog here", INGEST_FLD),
    Mistake(
        "no detector for a paper", "papers deepmark --table 2", "models/detector", "train_detector"
    ),
]

MODELS = [
    Mistake("no model", "predict a.png --out o --model nowhere", "nowhere", "name a folder", photo),
    Mistake(
        "half the weights",
        "predict a.png --out o --model detector",
        "detector/weights.safetensors: cannot be read as weights",
        COPY,
        both(photo, detector, cut("detector/weights.safetensors", 5000)),
    ),
    Mistake(
        "no weights",
        "predict a.png --out o --model detector",
        "detector/weights.safetensors: is missing",
        COPY,
        both(photo, detector, gone("detector/weights.safetensors")),
    ),
    Mistake(
        "a description that is no JSON",
        "predict a.png --out o --model detector",
        "detector/model.json: not JSON",
        COPY,
        both(photo, detector, cut("detector/model.json", 50)),
    ),
    Mistake(
        "a description without its backbone",
        "predict a.png --out o --model detector",
        "detector/model.json: has no 'backbone'",
        COPY,
        both(photo, detector, spec_without("backbone")),
    ),
    Mistake(
        "a description without its input size",
        "predict a.png --out o --model detector",
        "detector/model.json: has no 'precision'",
        COPY,
        both(photo, detector, spec_without("precision")),
    ),
    Mistake("--out is a file", "predict a.png --out a.png", "a.png", "move it away", photo),
    Mistake("--out below a file", "predict a.png --out a.png/o", "a.png", "move it away", photo),
    Mistake("--out in /proc", "contact-sheet --out /proc/x/a.png --columns 1", "/proc/x", CHECK),
    Mistake(
        "another runtime",
        "predict a.png --out o --model detector --runtime onnx",
        "no exported detector here",
        "`fashion-ops export detector`",
        both(photo, detector),
    ),
    Mistake(
        "a GPU for a runtime of CPUs",
        "predict a.png --out o --model detector --runtime onnx --device cuda",
        "the runtime onnx runs on the CPU",
        "--runtime torch",
        photo,
    ),
    Mistake(
        "no DFA to export", "export dfa --model nowhere", "nowhere: no stages of DFA", "`fashion-ops"
    ),
    Mistake(
        "no GLE to export", "export gle --model nowhere", "nowhere: no model here", "name a folder"
    ),
    Mistake("nothing to export", "export detector --model nowhere", "nowhere", "name a folder"),
    Mistake("no landmarker", "export landmarker --model no", "no/landmarker", "name a folder"),
    Mistake("a head of a detector", "describe detector --head rle", "a detector", "leave out head"),
    Mistake("a ViT without patches of 16", "describe landmarker --backbone vit_x", "'vit_x'", "known:"),
    Mistake(
        "a damaged export",
        "predict a.png --out o --model e --runtime onnx",
        "e/export.json: not JSON",
        COPY,
        both(photo, put("e/export.json", "{")),
    ),
]
BULK = [
    Mistake("neither output", "predict a.png", "--out FOLDER", "--table FOLDER", photo),
    Mistake("both outputs", "predict a.png --out o --table t", "--out", "--table", photo),
    Mistake(
        "sizes of a few photos",
        "predict a.png --out o --reference a4",
        "--reference a4",
        "`fashion-ops measure`",
        photo,
    ),
    Mistake(
        "sizes by FLD",
        "measure a.png --out o --model m",
        "m: predicts FLD's landmarks",
        "with a landmarker",
        both(photo, folder("m/gle")),
    ),
    Mistake(
        "pre-labels by FLD",
        "labels export d --model m --format cvat --out o",
        "m: predicts FLD's landmarks",
        "with a landmarker",
        both(put("d/a.png", ""), folder("m/dfa")),
    ),
    Mistake("COCO of a few photos", "predict a.png --out o --coco", "--coco", "--table", photo),
    Mistake("a folder of photos", "predict d --out o", "d: is a folder", "--table FOLDER", folder("d")),
    Mistake("a glob", "predict *.png --out o", "*.png: is a glob", "--table FOLDER", photo),
    Mistake("a URI", "predict s3://b/a.png --out o", "s3://b/a.png: is a URI", "--table FOLDER"),
    Mistake("no models", "predict . --table t --model data", "data: holds no models", "--model"),
    Mistake(
        "no photos", "predict d --table t --model detector", "d: holds no photos", ".jpg", in_folder
    ),
    Mistake(
        "an unknown scheme",
        "predict foo://d --table t --model detector",
        "foo:// is not read here",
        "s3://BUCKET/KEY",
        detector,
    ),
    Mistake(
        "a table without photos",
        "predict a.parquet --table t --model detector",
        "a.parquet: has no column of photos",
        "it has garment_id, landmarks",
        both(detector, table("a.parquet")),
    ),
    Mistake(
        "a folder that is no table",
        "predict a.png --table data --model detector",
        "data: exists",
        "name another folder by --table",
        both(detector, photo, put("data/mine.txt")),
    ),
    Mistake(
        "no ingest behind a URI",
        "ingest",
        "memory://nowhere: no such object or folder",
        "ingest.root",
        put("params.yaml", "ingest:\n  root: memory://nowhere\n"),
    ),
]
FAILED_PHOTOS = [
    Mistake("no photo", "predict b.jpg", "b.jpg: cannot be read", "name a photo that exists"),
    Mistake("no image", "predict b.jpg", "image cannot be decoded", "JPEG or PNG", put("b.jpg", "x")),
    Mistake("empty", "predict b.jpg", "image cannot be decoded", "JPEG or PNG", put("b.jpg")),
    Mistake("cut off", "predict b.png", "b.png", COPY, put("b.png", PNG + b"\0\0\0\rIHDR")),
]

LABELS = [
    Mistake("unknown tool", "labels import x --format voc", "'voc'", "cvat"),
    Mistake("no export", "labels import x.zip --format cvat", "x.zip: no such file", CHECK),
    Mistake(
        "a date that is none",
        "labels import x --format yolo-pose",
        "x/data.yaml: cannot be read as YAML: month must be in 1..12",
        COPY,
        put("x/data.yaml", "train: 2024-99-99"),
    ),
    Mistake(
        "a file for the photos",
        "labels import x --format cvat --images a.txt",
        "a.txt: is no folder",
        "--images",
        both(folder("x"), put("a.txt", "x")),
    ),
    Mistake(
        "another format",
        "labels import x --format cvat --out b",
        "no annotations.xml",
        "name the file itself",
        folder("x"),
    ),
    Mistake(
        "labels that are no XML",
        "labels import a.xml --format cvat --out b",
        "a.xml: syntax error",
        "export it again",
        put("a.xml", "labels"),
    ),
    Mistake(
        "photos elsewhere",
        "labels import a.json --format label-studio --out b",
        "a.json task 1: image missing: /data/upload/1/x.jpg",
        "name its folder by --images",
        put("a.json", '[{"data": {"image": "/data/upload/1/x.jpg"}, "annotations": [{"result": []}]}]'),
    ),
    Mistake(
        "a name that leads elsewhere",
        "labels import s --format fiftyone --out b",
        "samples.json sample ../x.jpg: path leads outside",
        "../x.jpg",
        put("s/samples.json", '{"samples": [{"filepath": "../x.jpg", "l": {"_cls": "Keypoints"}}]}'),
    ),
    Mistake(
        "a YOLO set without its table",
        "labels import y --format yolo-pose --out b",
        "of the 39 key points",
        "write landmarks.csv",
        put("y/data.yaml", "kpt_shape: [39, 3]\nnames: [skirt]\ntrain: images\n"),
    ),
    Mistake(
        "a COCO folder without labels",
        "labels import c --format coco --out b",
        "c: expected SPLIT.json",
        "found",
        folder("c"),
    ),
    Mistake(
        "a batch that is there",
        "labels import a.xml --format cvat --out data",
        "data: exists",
        "name a new folder",
        both(put("a.xml", "x"), put("data/mine.txt")),
    ),
    Mistake("no labels to export", "labels export --format coco --out o", "images.parquet", INGEST),
    Mistake(
        "a model without photos",
        "labels export --format coco --out o --model models",
        "--model",
        "name the folder",
    ),
    Mistake(
        "a split of a model's labels",
        "labels export . --format coco --out o --model m --split train",
        "--split",
        "not with --model",
    ),
    Mistake(
        "a score of people's labels",
        "labels export --format coco --out o --min-score 0.5",
        "--min-score",
        "name the model",
    ),
    Mistake("no folder to export", "labels export x --format coco --out o", "x: no such folder", CHECK),
    Mistake(
        "labels of a folder without photos",
        "labels export x --format coco --out o --model m",
        "x: holds no photos",
        ".jpg",
        folder("x"),
    ),
]

SCORES = [
    Mistake("no annotations", "score --annotations a --predictions b", "a: cannot be read", CHECK),
    Mistake(
        "annotations that are no JSON",
        "score --annotations a --predictions b",
        "a: not JSON",
        "write it again",
        put("a", "{"),
    ),
    Mistake(
        "compressed annotations",
        "score --annotations a --predictions b",
        "a: not JSON: compressed with bzip2",
        "unpack it first",
        put("a", bz2.compress(b"{}")),
    ),
    Mistake(
        "half a gzip file",
        "score --annotations a --predictions b",
        "a: not JSON: a damaged gzip file",
        "write it again",
        put("a", gzip.compress(b"[" * 999)[:-9]),
    ),
    Mistake(
        "no predictions",
        "score --annotations a --predictions b",
        "b: cannot be read",
        CHECK,
        put("a", gzip.compress(EMPTY_TRUTH.encode())),
    ),
    Mistake(
        "no catalog to score on",
        "score --metric ne --annotations a --predictions b",
        "a: not an alignment catalog",
        "garments.parquet",
    ),
    Mistake(
        "a catalog that is no table",
        f"score --metric ne --annotations {Path(FLD).parent} --predictions b",
        "garments.parquet: cannot be read as a parquet table",
        INGEST_FLD,
        put(FLD, "x"),
    ),
    Mistake("no CSV", "pseudo-label no.csv", "no.csv: cannot be read as CSV", CHECK),
    Mistake("another CSV", "pseudo-label a.csv", "a.csv", "expected", put("a.csv", "a,b\n1,2\n")),
]

REGISTRY = [
    Mistake("address of nothing", "history", "nowhere://x", "MLFLOW_TRACKING_URI"),
    Mistake("rollback of nothing", "rollback --why x", "nowhere://x", "MLFLOW_TRACKING_URI"),
    Mistake("restore of nothing", "restore 1", "nowhere://x", "MLFLOW_TRACKING_URI"),
    Mistake("promotion of nothing", "promote", "nowhere://x", "MLFLOW_TRACKING_URI"),
    Mistake("alignment of nothing", "promote_alignment", "nowhere://x", "MLFLOW_TRACKING_URI"),
    Mistake("model of nothing", "predict a.png --out o", "nowhere://x", "MLFLOW_TRACKING_URI"),
]

MISTAKES = [*USAGE, *SETTINGS, *LEDGER, *INPUTS, *MODELS, *BULK, *LABELS, *SCORES, *REGISTRY]
assert len({m.name for m in MISTAKES}) == len(MISTAKES)
