from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.network.graphs import model, node, random, save
from toolflow.errors import UserError
from toolflow.network.graph import Preprocessing
from toolflow.network.importer import load_network
from toolflow.network.metadata import PreprocessingOverride, read_preprocessing
from toolflow.network.preprocessing_note import Note, read_note

IMAGE = (3, 224, 224)
UNDERSTOOD = {
    "RGB->BGR, 0..255 minus mean (B104,G117,R123), 256 resize, 227 centre crop": Note(
        "BGR", 1.0, (104.0, 117.0, 123.0), (1.0,), 256, 227
    ),
    "RGB, 0..255 minus mean (B104,G117,R123)": Note("RGB", 1.0, (123.0, 117.0, 104.0), (1.0,)),
    "0..255 minus mean (B104,G117,R123), BGR": Note("BGR", 1.0, (104.0, 117.0, 123.0), (1.0,)),
    "BGR, 0..255 minus mean (1, 2.5, 3)": Note("BGR", 1.0, (1.0, 2.5, 3.0), (1.0,)),
    "0..255": Note(None, 1.0, (0.0,), (1.0,)),
    "0..255 minus mean 120.5": Note(None, 1.0, (120.5,), (1.0,)),
    "RGB, x/255 in [0,1], short side 224, 224 centre crop": Note(
        "RGB", 255.0, (0.0,), (1.0,), 224, 224
    ),
    "RGB, (x-127.5)/127.5 approx [-1,1]": Note("RGB", 1.0, (127.5,), (127.5,)),
    "gray,(x/255-0.5)/0.25 in [-2, 2],64 Center Crop": Note(
        "grey", 255.0, (0.5,), (0.25,), None, 64
    ),
    "x": Note(None, 1.0, (0.0,), (1.0,)),
    "x/255-0.5": Note(None, 255.0, (0.5,), (1.0,)),
    "bgr": Note("BGR"),
    "": Note(),
}
NOT_UNDERSTOOD = {
    "RGB, whitened": "no known form",
    "x/128 in [0,1]": "would become 0 to 1.99",
    "(x-127.5)/127.5 in [0,1]": "would become -1 to 1",
    "x/0": "divides by zero",
    "(x-1)/0": "divides by zero",
    "(x-1": "no known form",
    "x-1)/2": "no known form",
    "(x/255)": "no known form",
    "x/1e3": "no known form",
    "RGB, BGR": "stated twice",
    "x/255, 0..255": "stated twice",
    "0..255 minus mean (1,2)": "neither a number nor three",
    "0..255 minus mean (B104,G117,R123)": "stated order",
    "RGB, 0..255 minus mean (B104,G117,G123)": "stated order",
    "RGB, 0..255 minus mean (B104,117,R123)": "stated order",
    "grey, 0..255 minus mean (B104,G117,R123)": "stated order",
    "0 centre crop": "no size",
    "999999 resize": "no size",
}


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_understood(text: str) -> None:
    assert read_note(text) == UNDERSTOOD[text]


@pytest.mark.parametrize("text", NOT_UNDERSTOOD)
def test_not_understood(text: str) -> None:
    (unclear,) = read_note(text).unclear
    assert NOT_UNDERSTOOD[text] in unclear


def test_the_rest_stays_understood_and_is_told() -> None:
    text = "RGB->BGR, 0..255 minus mean (1,2,3), whitened, 256 resize, per image"
    note = read_note(text)
    assert [clause.split("'")[1] for clause in note.unclear] == ["whitened", "per image"]
    with pytest.raises(UserError) as caught:
        read_preprocessing({"preproc": text}, IMAGE)
    message = str(caught.value)
    for part in (
        "metadata 'preproc'", "'whitened'", "'per image'",
        "Understood: BGR, scale 1, mean 1,2,3, std 1, short side 256.",
        "--scale", "--mean", "--std", "--channel-order",
    ):  # fmt: skip
        assert part in message


def test_a_long_text_is_no_note() -> None:
    with pytest.raises(UserError, match="its 3000 characters") as caught:
        read_preprocessing({"preproc": "x/255," * 500}, IMAGE)
    assert len(str(caught.value)) < 700


def test_a_crop_of_another_size_is_not_understood() -> None:
    note = {"preproc": "RGB, x/255, 224 centre crop"}
    assert read_preprocessing(note, IMAGE).scale == 255.0
    with pytest.raises(UserError, match="input is 227 x 227"):
        read_preprocessing(note, (3, 227, 227))
    with pytest.raises(UserError, match="input is no map"):
        read_preprocessing(note, (3,))


def test_the_user_states_what_was_not_understood() -> None:
    note = {"preproc": "BGR, x/255, whitened"}
    with pytest.raises(UserError):
        read_preprocessing(note, IMAGE, PreprocessingOverride(channel_order="BGR"))
    got = read_preprocessing(note, IMAGE, PreprocessingOverride(mean=(0.5,)))
    assert got == Preprocessing(255.0, (0.5,), (1.0,), "BGR", True)


def test_structured_keys_win() -> None:
    note = {"preproc": "BGR, x/255, whitened", "mean": "[1, 2, 3]"}
    assert read_preprocessing(note, IMAGE) == Preprocessing(
        1.0, (1.0, 2.0, 3.0), (1.0,), "RGB", True
    )
    order = {"preproc": "BGR, x/255", "channel_order": "RGB"}
    assert read_preprocessing(order, IMAGE) == Preprocessing(255.0, (0.0,), (1.0,), "RGB", True)


def test_a_colour_alone_states_no_values() -> None:
    assert read_preprocessing({"preproc": "BGR"}, IMAGE) == Preprocessing(channel_order="BGR")


def test_three_means_for_one_channel_are_refused() -> None:
    with pytest.raises(UserError, match="metadata 'preproc': mean has 3 values"):
        read_preprocessing({"preproc": "grey, 0..255 minus mean (1,2,3)"}, (1, 8, 8))


def test_a_model_with_a_note(tmp_path: Path) -> None:
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "w"], ["y"])]
    proto = model(nodes, {"w": random(1, 48, 5)}, shape=("N", 3, 4, 4))
    onnx.helper.set_model_props(proto, {"preproc": "RGB, x/255, shaken"})
    path = save(proto, tmp_path)
    with pytest.raises(UserError, match="'shaken'"):
        load_network(path)
    stated = load_network(path, PreprocessingOverride(scale=128.0)).preprocessing
    assert stated == Preprocessing(128.0, (0.0,), (1.0,), "RGB", True)
