"""Exported files, run by onnxruntime and torch alone, give what the models give.

The models are small and drawn at random, every parameter, so that each matters.
"""

import copy
import re
from contextlib import chdir
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from tests.models.samples import difference, randomise
from tests.tasks.labelled import make_backbone

from ringmoe.cli import main
from ringmoe.deployment import backbone_input, export, export_model, read_metadata
from ringmoe.errors import ExportError
from ringmoe.models import load_model, save_model
from ringmoe.observation import Observation
from ringmoe.sensors import get_sensor, normalise
from ringmoe.tasks import (
    Change,
    Classification,
    Height,
    Segmentation,
    TaskModel,
    TaskSource,
    save_task,
)

pytestmark = pytest.mark.slow  # torch takes seconds to trace and convert

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
PATIENCE = "tracing the model, operation by operation: this can take minutes"
RGB = TaskSource("rgb-dn8", ("red", "green", "blue"))
SAR = TaskSource("sentinel1-grd", ("VV", "VH"))
CLASSES = ("water", "land", "ice")
DENSE = {"specialized_experts": 0, "collaborative_experts": 0}
ONE_STAGE = {"depths": (1,), "num_heads": (1,)}
TWO_STAGES = {"depths": (1, 1), "num_heads": (1, 2)}
SHIFTED = {"depths": (2,), "num_heads": (1,)}  # 8 x 8 tokens, windows of 4 x 4

TASKS = {
    "segmentation": (  # of two modalities, with experts
        Segmentation(classes=CLASSES, channels=8),
        {"optical": RGB, "sar_amplitude": SAR},
        {**ONE_STAGE, "specialized_experts": 1, "collaborative_experts": 2},
    ),
    "change": (
        Change(method="bit", channels=8, layers=1),
        {"before": RGB, "after": RGB},
        ONE_STAGE | DENSE,
    ),
    "height": (Height(method="bins", channels=8, bins=5), {"image": RGB}, TWO_STAGES | DENSE),
}


def make_task(name):
    task, sources, shape = TASKS[name]
    model = TaskModel(make_backbone(**shape), task, sources).eval()
    randomise(model.head, seed=1)
    return model


def draw(sources, batch, seed):
    """Normalised images by name."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(batch, len(source.keys), 32, 32, generator=generator)
        for name, source in sources.items()
    }


def in_onnxruntime(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images):
        found = session.run(None, {name: image.numpy() for name, image in images.items()})
        return [torch.from_numpy(array) for array in found]

    return run


def in_torch(path):
    program = torch.export.load(path).module()

    def run(images):
        found = program(*images.values())
        return [found] if isinstance(found, torch.Tensor) else list(found)

    return run


@pytest.fixture(scope="module")
def trace_once():
    """Formats that are traced alike share the program: it takes seconds."""
    kept, trace = {}, export.trace

    def once(graph, *rest):
        key = (graph.model, type(graph.backbone.blocks()[0].ffn), *rest)
        if key not in kept:
            kept[key] = trace(graph, *rest)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "trace", once)
        yield


@pytest.mark.parametrize("name", TASKS)
@torch.no_grad()
@pytest.mark.usefixtures("trace_once")
def test_a_task_in_both_formats_at_any_batch(tmp_path, name):
    model = make_task(name)
    onnx_file, program = (
        export_model(model, tmp_path / name, image_size=32, experts="masked")
        for name in ("model.onnx", "model.pt2")
    )
    assert onnx_file.bytes == (tmp_path / "model.onnx").stat().st_size
    assert max(onnx_file.differences) < 1e-4 and max(program.differences) < 1e-6
    in_ort, in_pt2 = in_onnxruntime(tmp_path / "model.onnx"), in_torch(tmp_path / "model.pt2")
    for batch in (1, 4):
        images = draw(model.sources, batch, seed=10 + batch)
        expected = model(
            {n: Observation(x, s.modality, s.keys)
             for (n, x), s in zip(images.items(), model.sources.values(), strict=True)}
        )  # fmt: skip
        (found,) = in_ort(images)
        assert found.shape == expected.shape
        assert difference(found, expected) < 1e-4
        (found,) = in_pt2(images)
        assert difference(found, expected) < 1e-6
    facts = read_metadata(tmp_path / "model.onnx")
    assert facts == read_metadata(tmp_path / "model.pt2")
    assert facts["task"] == name
    assert facts["classes"] == list(model.task.classes)
    assert [image["name"] for image in facts["inputs"]] == list(model.sources)


@torch.no_grad()
def test_classification_of_values_in_units(tmp_path, capfd, recwarn):
    """Amplitudes enter the files; `ringmoe.sensors` normalises them for the model.

    Through the command line, which says what enters and how far the file is off.
    """
    shape = {**ONE_STAGE, **DENSE, "modalities": ("sar_amplitude",)}
    task = Classification(classes=CLASSES, pooling="all")
    model = TaskModel(make_backbone(**shape), task, {"image": SAR}).eval()
    folder = save_task(model, tmp_path / "run" / "model", tile_size=32).parent
    values = np.random.default_rng(0).gamma(1, 0.2, (3, 2, 32, 32)).astype(np.float32)
    channels = get_sensor("sentinel1-grd").select(["VV", "VH"])
    images = torch.from_numpy(normalise(values, channels))
    expected = model({"image": Observation(images, "sar_amplitude", channels)})
    for name, load, limit in (("m.onnx", in_onnxruntime, 1e-4), ("m.pt2", in_torch, 1e-6)):
        out = tmp_path / name
        assert main(["export", str(folder), "--out", str(out), "--with-normalisation"]) == 0
        told, complaints = capfd.readouterr()
        assert "image: batch x 2 x 32 x 32, in units: VV, VH" in told
        assert f"wrote {out} (" in told
        assert float(re.search(r"random images: (\S+) of the largest", told)[1]) < limit
        assert set(complaints.splitlines()) <= {PATIENCE} and not recwarn.list
        run = load(out)
        assert difference(run({"image": torch.from_numpy(values)})[0], expected) < limit
        assert difference(run({"image": images})[0], expected) > 0.01

        facts = read_metadata(out)
        assert (facts["task"], facts["classes"]) == ("classification", list(CLASSES))
        (entry,) = facts["inputs"]
        assert (entry["sensor"], entry["modality"]) == ("sentinel1-grd", "sar_amplitude")
        assert entry["shape"] == ["batch", 2, 32, 32]
        for said, channel in zip(entry["channels"], channels, strict=True):
            assert (said["name"], said["unit"]) == (channel.name, "amplitude")
            assert (said["mean"], said["std"]) == (channel.mean, channel.std)
            assert said["log_floor"] == channel.log_floor


@torch.no_grad()
def test_in_units_nan_says_that_there_are_no_data(tmp_path):
    """The model itself gets 0 there, the mean, and `valid` false; all other pixels as they are."""
    shape = {**ONE_STAGE, **DENSE, "modalities": ("sar_amplitude",)}
    model = TaskModel(make_backbone(**shape), Segmentation(classes=CLASSES), {"image": SAR}).eval()
    randomise(model.head, seed=1)
    channels = get_sensor("sentinel1-grd").select(["VV", "VH"])
    values = np.random.default_rng(0).gamma(1, 0.2, (2, 2, 32, 32)).astype(np.float32)
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[0, :, :9, 3:20] = False
    images = torch.from_numpy(normalise(values, channels)).where(valid, 0)
    expected = model({"image": Observation(images, "sar_amplitude", channels, valid)})
    values[~valid.numpy().repeat(2, axis=1)] = np.nan
    for name, load, limit in (("m.onnx", in_onnxruntime, 1e-4), ("m.pt2", in_torch, 1e-6)):
        out = tmp_path / name
        export_model(model, out, image_size=32, with_normalisation=True)
        (found,) = load(out)({"image": torch.from_numpy(values)})
        assert difference(found, expected) < limit
        assert "NaN where there are no data" in read_metadata(out)["preprocessing"]


@pytest.fixture(scope="module")
def backbone():
    shape = {"specialized_experts": 2, "collaborative_experts": 2}
    return make_backbone(**SHIFTED, **shape, modalities=("optical",))


@pytest.fixture(scope="module")
def encoder(backbone, tmp_path_factory, trace_once):
    """Where the backbone is written in both formats, with experts in both forms."""
    folder = tmp_path_factory.mktemp("export")
    image = backbone_input(("optical",))
    for experts in ("masked", "routed"):
        for suffix in (".onnx", ".pt2"):
            out = folder / f"{experts}{suffix}"
            export_model(backbone, out, image_size=32, image=image, experts=experts)
    return folder


class TestExperts:
    """A backbone with four experts a block; the windows of its second block are shifted."""

    @torch.no_grad()
    @pytest.mark.parametrize(
        ("name", "load", "limit"),
        [
            ("masked.onnx", in_onnxruntime, 1e-4),
            ("routed.onnx", in_onnxruntime, 1e-4),
            ("masked.pt2", in_torch, 1e-6),
            ("routed.pt2", in_torch, 1e-6),
        ],
    )
    def test_all_maps_at_any_batch(self, backbone, encoder, name, load, limit):
        run = load(encoder / name)
        for batch in (1, 4):
            images = torch.randn(batch, 3, 32, 32)
            expected = backbone.view("optical")(images)
            found = run({"image": images})
            assert len(found) == len(expected)
            assert max(map(difference, found, expected)) < limit

    @pytest.mark.parametrize("experts", ["masked", "routed"])
    def test_nothing_but_standard_operators(self, encoder, experts):
        model = onnx.load(encoder / f"{experts}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert {node.domain for node in model.graph.node} == {""} and not model.functions
        graph = torch.export.load(encoder / f"{experts}.pt2").graph
        targets = [node.target for node in graph.nodes if node.op == "call_function"]
        assert {t.namespace for t in targets if isinstance(t, torch._ops.OpOverload)} == {"aten"}

    def test_nothing_tells_where_it_was_made(self, encoder):
        """Exporters note the source line of each operation, with its folder."""
        for file in encoder.iterdir():
            assert b"ringmoe/models" not in file.read_bytes(), file.name

    @torch.no_grad()
    @pytest.mark.parametrize("name", ["masked.onnx", "routed.onnx"])
    def test_tokens_go_where_the_model_sends_them(self, backbone, encoder, tmp_path, name):
        """Damage one expert of the file: images change whose tokens chose it, and no other.

        What the model chose is counted by its routers. Images of one colour send all tokens of
        the first block to the same experts, and here different colours to different ones.
        """
        colours = torch.tensor([[3.0, 0, 0], [0, -3, 0], [0, 0, 3], [-2, 2, -2]])
        images = colours[:, :, None, None].expand(-1, -1, 32, 32).contiguous()
        taken = [self.chosen(backbone, image[None]) for image in images]
        assert len({tuple(experts) for experts in taken}) > 1
        before = in_onnxruntime(encoder / name)({"image": images})[0]
        for number in range(4):
            model = onnx.load(encoder / name)
            # specialized experts are 0 and 1, collaborative ones 2 and 3; masked, two lie together
            part, row = (number // 2 * 2, number % 2) if name == "masked.onnx" else (number, ...)
            words = "neighbours.{}.b2" if name == "masked.onnx" else "b2.{}"
            damaged = f"model.stages.0.blocks.0.ffn.{words.format(part)}"
            (bias,) = [tensor for tensor in model.graph.initializer if tensor.name == damaged]
            values = numpy_helper.to_array(bias).copy()
            values[row] += 1
            bias.CopyFrom(numpy_helper.from_array(values, damaged))
            onnx.save(model, tmp_path / "damaged.onnx")
            after = in_onnxruntime(tmp_path / "damaged.onnx")({"image": images})[0]
            changed = (after != before).flatten(1).any(1).tolist()
            assert changed == [number in experts for experts in taken], number

    def chosen(self, backbone, image):
        """Experts of the first block that a token of the image goes to."""
        encoding = backbone.encode([Observation(image, "optical", ("red", "green", "blue"))])
        first = {load.branch: load.chosen for load in encoding.loads if load.block == 0}
        counts = torch.cat([first["specialized"], first["collaborative"]])
        return counts.nonzero().flatten().tolist()

    @torch.no_grad()
    def test_the_code_of_the_page(self, encoder, backbone):
        images = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
        expected = backbone.view("optical")(torch.from_numpy(images))
        for name in ("onnxruntime", "torch"):
            code = re.search(
                rf"<!-- {name} -->\s+```python\n(.*?)```", PAGE.read_text(), flags=re.S
            )[1]
            given = {"images": images}
            with chdir(encoder), torch.no_grad():
                exec(compile(code, str(PAGE), "exec"), given)
            found = [torch.as_tensor(array) for array in given["maps"]]
            assert max(map(difference, found, expected)) < 1e-4, name


@torch.no_grad()
def test_a_pruned_dense_checkpoint(tmp_path, capsys):
    """`prune` to one FFN a block, then `export`: no expert is left to mask."""
    start = save_model(make_backbone(**ONE_STAGE), tmp_path / "model")
    words = ["prune", start, "--method", "ks", "--modalities", "optical", "--out", tmp_path / "ks"]
    assert main(list(map(str, words))) == 0
    words = ["export", tmp_path / "ks", "--out", tmp_path / "ks.onnx", "--sensor", "rgb-dn8"]
    assert main([*map(str, words), "--bands", "blue", "red", "--batch", "2"]) == 0
    assert "image: 2 x 2 x 32 x 32, normalised: blue, red" in capsys.readouterr().out
    assert read_metadata(tmp_path / "ks.onnx")["experts"] == "none"
    images = torch.randn(2, 2, 32, 32)
    (expected,) = load_model(tmp_path / "ks").view("optical", ("blue", "red"))(images)
    (found,) = in_onnxruntime(tmp_path / "ks.onnx")({"image": images})
    assert difference(found, expected) < 1e-4


def test_a_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    """Of other weights than the model: the older file stands, and nothing lies beside it."""
    backbone = make_backbone(**ONE_STAGE | DENSE, modalities=("optical",))
    trace = export.trace
    monkeypatch.setattr(export, "trace", lambda graph, *rest: trace(spoilt(graph), *rest))
    out = tmp_path / "m.pt2"
    out.write_text("an older one")
    with pytest.raises(ExportError, match=r"m\.pt2 differs from the model by .* at most"):
        export_model(backbone, out, image_size=32, image=backbone_input(("optical",)))
    assert out.read_text() == "an older one"
    assert [file.name for file in tmp_path.iterdir()] == ["m.pt2"]


def spoilt(graph):
    other = copy.deepcopy(graph)
    other.backbone.stems["optical"].bias.data[0] += 0.1
    return other
