"""A1111's API, through the PyPI client `webuiapi`, and hostile requests."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import webuiapi
from PIL import Image

from engine.server.compat.a1111_options import CLIP_SKIP, MODEL
from nodes.files.checkpoints import EMBEDDED
from tests.counts import short_and_full
from tests.engine.server.conftest import App, RunningServer
from tests.engine.server.test_serving import until

BASE = "/sdapi/v1"


def encoded(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


PICTURE = encoded(Image.new("RGB", (8, 8), (255, 255, 255)))


@pytest.fixture(scope="module")
def web(server: RunningServer) -> Iterator[webuiapi.WebUIApi]:
    client = webuiapi.WebUIApi(port=server.port, username="any", password=server.token, steps=3)
    yield client
    client.session.close()


def pixels(picture: Image.Image) -> bytes:
    return picture.convert("RGB").tobytes()


def test_a_client_draws_the_pictures_of_its_seeds(web: webuiapi.WebUIApi, server: RunningServer) -> None:
    asked = {"prompt": "a red circle", "negative_prompt": "blue", "width": 64, "height": 64, "cfg_scale": 5}
    drawn = web.txt2img(**asked, seed=70, eta=1.0, n_iter=2, batch_size=2, sampler_name="Euler")
    assert drawn.info["all_seeds"] == [70, 71, 72, 73]
    assert len({pixels(picture) for picture in drawn.images}) == 4
    text = (
        "a red circle\nNegative prompt: blue\nSteps: 3, Sampler: Euler, Schedule type: Automatic, "
        f"CFG scale: 5, Seed: 72, Size: 64x64, Model: {EMBEDDED}, Eta: 1"
    )
    with server.client() as client:
        graph = client.import_file("text.txt", text.encode())["graph"]
        (row,) = client.wait(client.submit(graph)["run"], 60)["outputs"]
        with Image.open(io.BytesIO(client.download(row["url"]))) as picture:
            assert pixels(picture) == pixels(drawn.images[2])
    alone = web.txt2img(**asked, seed=72, sampler_name="Euler")
    assert pixels(alone.image) == pixels(drawn.images[2])
    assert "Seed: 72" in drawn.info["infotexts"][2]
    assert "Seed: 73" in drawn.info["infotexts"][3]


def test_a_random_seed_is_told(web: webuiapi.WebUIApi) -> None:
    asked = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 2}
    drawn = web.txt2img(**asked)
    again = web.txt2img(**asked, seed=drawn.info["seed"])
    assert pixels(again.image) == pixels(drawn.image)


def test_a_picture_follows_its_picture(web: webuiapi.WebUIApi) -> None:
    start = Image.new("RGB", (64, 64), (200, 30, 30))
    asked = {"images": [start], "prompt": "a red circle", "width": 64, "height": 64, "seed": 5, "steps": 8}
    near, far = (web.img2img(**asked, denoising_strength=strength).image for strength in (0.15, 1.0))

    def distance(picture: Image.Image) -> int:
        return sum(abs(a - b) for a, b in zip(pixels(picture), pixels(start), strict=True))

    assert distance(near) < distance(far)


def test_a_latent_can_be_resized_in_place_of_its_picture(web: webuiapi.WebUIApi) -> None:
    asked = {"prompt": "a red circle", "width": 64, "height": 64, "seed": 5, "steps": 2}
    small = Image.effect_noise((32, 64), 60).convert("RGB")
    stretched, latent = (web.img2img(images=[small], **asked, resize_mode=mode).image for mode in (0, 3))
    assert latent.size == (64, 64)
    assert pixels(latent) != pixels(stretched)
    same = small.resize((64, 64))
    drawn = [web.img2img(images=[same], **asked, resize_mode=mode).image for mode in (0, 3)]
    assert pixels(drawn[0]) == pixels(drawn[1]), "a picture that has the size is not changed by either"


def half_mask(size: tuple[int, int], mode: str = "L") -> Image.Image:
    """On in the right half."""
    mask = Image.new("L", size, 0)
    mask.paste(255, (size[0] // 2, 0, *size))
    if mode == "L":
        return mask
    layer = Image.new("RGBA", size, (255, 255, 255, 0))
    layer.putalpha(mask)
    return layer


def changed_columns(before: Image.Image, after: Image.Image) -> set[int]:
    """The columns in which two pictures of one size differ."""
    assert before.size == after.size
    one, two = (np.asarray(picture.convert("RGB")) for picture in (before, after))
    return set(np.nonzero((one != two).any((0, 2)))[0].tolist())


def test_a_picture_changes_where_its_mask_is_white(web: webuiapi.WebUIApi) -> None:
    start = Image.effect_noise((64, 64), 60).convert("RGB")
    asked = {"images": [start], "prompt": "a red circle", "width": 64, "height": 64, "seed": 5, "steps": 3}
    hard = {"mask_blur": 0, "inpaint_full_res": False}
    drawn = web.img2img(**asked, **hard, mask_image=half_mask((64, 64)), n_iter=2)
    right = set(range(32, 64))
    assert [changed_columns(start, picture) for picture in drawn.images] == [right, right]
    assert pixels(drawn.images[0]) != pixels(drawn.images[1]), "each has its own seed"
    by_alpha = web.img2img(**asked, **hard, mask_image=half_mask((64, 64), "RGBA"))
    assert pixels(by_alpha.image) == pixels(drawn.images[0])
    left = web.img2img(**asked, **hard, mask_image=half_mask((64, 64)), inpainting_mask_invert=1)
    assert changed_columns(start, left.image) == set(range(32))
    soft = web.img2img(**asked, mask_blur=4, inpaint_full_res=False, mask_image=half_mask((64, 64)))
    assert right < changed_columns(start, soft.image) < set(range(64))


def test_only_the_part_around_the_mask_is_drawn_in_the_size_that_was_asked_for(
    web: webuiapi.WebUIApi,
) -> None:
    """As if the part had been cut out, enlarged, inpainted, made smaller and put back by hand."""
    start = Image.effect_noise((200, 120), 60).convert("RGB")
    mask = Image.new("L", start.size, 0)
    mask.paste(255, (140, 40, 180, 80))
    asked = {"prompt": "a red circle", "width": 64, "height": 64, "seed": 5, "steps": 2, "mask_blur": 0}
    drawn = web.img2img(images=[start], mask_image=mask, **asked, inpaint_full_res_padding=8)
    assert changed_columns(start, drawn.image) == set(range(140, 180))
    box = (132, 32, 188, 88)
    part, part_mask = (whole.crop(box).resize((64, 64), Image.Resampling.LANCZOS) for whole in (start, mask))
    by_hand = web.img2img(images=[part], mask_image=part_mask, **asked, inpaint_full_res=False)
    back = by_hand.image.resize((56, 56), Image.Resampling.LANCZOS).crop((14, 14, 42, 42))
    there = drawn.image.crop((146, 46, 174, 74))
    assert np.abs(np.asarray(back, np.int32) - np.asarray(there, np.int32)).max() <= 1


@pytest.mark.slow
def test_a_second_pass_enlarges(web: webuiapi.WebUIApi) -> None:
    asked = {"prompt": "a red circle", "width": 64, "height": 64, "seed": 5, "steps": 2}
    assert web.txt2img(**asked, enable_hr=True, hr_scale=2).image.size == (128, 128)


def test_progress_and_interrupt(web: webuiapi.WebUIApi) -> None:
    found: list[Any] = []

    def draw() -> None:
        found.append(web.txt2img(prompt="a red circle", width=64, height=64, seed=1, n_iter=200, steps=40))

    thread = threading.Thread(target=draw)
    thread.start()
    other = webuiapi.WebUIApi(baseurl=web.baseurl, username="any", password=web.session.auth[1])
    until(lambda: other.get_progress()["state"]["sampling_steps"] == 40)
    state = other.get_progress()
    assert 0 <= state["progress"] < 1
    assert state["state"]["job_count"] == 1
    other.interrupt()
    thread.join(60)
    other.session.close()
    (drawn,) = found
    assert drawn.info["interrupted"]
    assert len(drawn.images) < 200
    assert web.get_progress()["state"]["job_count"] == 0


def test_the_lists_are_those_that_clients_choose_from(web: webuiapi.WebUIApi) -> None:
    assert {"Euler", "Euler a", "DPM++ 2M"} <= set(web.util_get_sampler_names())
    assert {"automatic", "karras"} <= set(web.util_get_scheduler_names())
    assert web.util_get_model_names() == [EMBEDDED]
    assert web.get_loras() == []
    assert web.get_embeddings()["loaded"] == {}
    assert {"name": "Latent (nearest-exact)"} in web.get_latent_upscale_modes()


@short_and_full("samplers", ["DPM++ 2M"], ["Euler a", "DDIM", "LMS", "DPM++ 2M SDE", "UniPC", "DPM fast"])
def test_each_kind_of_sampler_takes_what_clients_send_by_default(
    web: webuiapi.WebUIApi, samplers: list[str]
) -> None:
    for sampler in samplers:
        drawn = web.txt2img(prompt="a red circle", width=64, height=64, seed=1, steps=2, sampler_name=sampler)
        assert drawn.image.size == (64, 64)


def test_the_options_hold_for_later_requests(app_with_compat: App) -> None:
    web = app_with_compat.web
    assert web.get(f"{BASE}/options").json()[MODEL] == EMBEDDED
    assert web.post(f"{BASE}/options", json={MODEL: EMBEDDED, CLIP_SKIP: 2}).json() == {}
    assert web.get(f"{BASE}/options").json()[CLIP_SKIP] == 2
    for wrong in (
        {MODEL: "no such"},
        {CLIP_SKIP: 0},
        {"sd_vae": "other"},
        {"show_progress": True},
        {MODEL: 1},
    ):
        assert web.post(f"{BASE}/options", json=wrong).status_code == 422
    assert web.get(f"{BASE}/options").json()[CLIP_SKIP] == 2
    web.post(f"{BASE}/options", json={CLIP_SKIP: 1})


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "steps that are text": ({"steps": "many"}, "steps"),
    "steps that are true": ({"steps": True}, "steps"),
    "a width beyond all": ({"width": 1 << 40}, "width"),
    "an unknown sampler": ({"sampler_name": "Magic"}, "Magic"),
    "an unknown schedule": ({"scheduler": "Magic"}, "Magic"),
    "a missing LoRA": ({"prompt": "<lora:none:1>"}, "none"),
    "a field that does not exist": ({"stepz": 3}, "stepz"),
    "faces to restore": ({"restore_faces": True}, "restore_faces"),
    "a tiling picture": ({"tiling": True}, "tiling"),
    "a script": ({"script_name": "X/Y/Z plot"}, "script_name"),
    "an extension": ({"alwayson_scripts": {"ADetailer": {"args": [True, {}]}}}, "ADetailer"),
    "styles": ({"styles": ["photo"]}, "styles"),
    "an unknown model": ({"override_settings": {MODEL: "no such"}}, "no such"),
    "an unknown setting": ({"override_settings": {"eta_noise": 1}}, "eta_noise"),
    "settings that are a list": ({"override_settings": [1]}, "override_settings"),
    "too many pictures": ({"n_iter": 100, "batch_size": 10}, "256"),
    "a negative count": ({"n_iter": -1}, "n_iter"),
    "variations in several passes": ({"subseed_strength": 0.5, "n_iter": 2}, "subseed"),
    "one side of a second pass": ({"enable_hr": True, "hr_resize_x": 128}, "hr_resize"),
    "a prompt that is a list": ({"prompt": ["a"]}, "prompt"),
    "a huge seed": ({"seed": 1 << 60}, "seed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_without_a_counterpart_is_refused(app_with_compat: App, name: str) -> None:
    body, place = REFUSED[name]
    refused = app_with_compat.web.post(
        f"{BASE}/txt2img", json={"prompt": "a", "width": 64, "height": 64} | body
    )
    assert refused.status_code == 422, refused.text
    assert place in refused.json()["detail"]
    assert app_with_compat.services.queue.status().pending == 0


@pytest.mark.parametrize("picture", [None, 5, "###", "", "http://evil.example/a.png", "PHN2Zy8+"])
def test_a_picture_that_cannot_be_read_is_refused(app_with_compat: App, picture: Any) -> None:
    refused = app_with_compat.web.post(f"{BASE}/img2img", json={"init_images": [picture], "prompt": "a"})
    assert refused.status_code == 422, refused.text


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"mask": 5}, "mask"),
        ({"mask": "###"}, "mask"),
        ({"latent_mask": PICTURE}, "latent_mask"),
        ({"mask": PICTURE, "mask_blur_x": 2, "mask_blur_y": 3}, "mask_blur"),
        ({"mask": PICTURE, "mask_blur": -1}, "mask_blur"),
        ({"mask": PICTURE, "inpainting_fill": 4}, "inpainting_fill"),
        ({"mask": PICTURE, "inpaint_full_res": "yes"}, "inpaint_full_res"),
        ({"mask": PICTURE, "latent_mask": PICTURE}, "latent_mask"),
        ({"mask": PICTURE, "resize_mode": 3, "inpaint_full_res": False}, "resize_mode"),
        ({"init_images": [encoded(Image.new("RGB", (12, 8)))], "resize_mode": 3}, "resize_mode"),
        ({"resize_mode": 4}, "resize_mode"),
    ],
)
def test_a_mask_without_a_counterpart_is_refused(
    app_with_compat: App, settings: dict[str, Any], place: str
) -> None:
    body = {"init_images": [PICTURE], "prompt": "a", "width": 64, "height": 64}
    refused = app_with_compat.web.post(f"{BASE}/img2img", json=body | settings)
    assert refused.status_code == 422, refused.text
    assert place in refused.json()["detail"] or refused.json()["error"] == "bad_request"
    assert app_with_compat.services.queue.status().pending == 0


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_rest_of_the_api_says_so(app_with_compat: App, method: str) -> None:
    refused = app_with_compat.web.request(method, f"{BASE}/train", json={})
    assert (refused.status_code, refused.json()["error"]) == (501, "not_supported")
