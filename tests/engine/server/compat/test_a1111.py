"""A1111's API, through the PyPI client `webuiapi`, and hostile requests."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import webuiapi
from PIL import Image

from engine.server.compat.a1111_options import CLIP_SKIP, MODEL
from nodes.files.checkpoints import EMBEDDED
from tests.counts import short_and_full
from tests.engine.server.conftest import App, RunningServer
from tests.engine.server.test_serving import until

BASE = "/sdapi/v1"


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
    with pytest.raises(RuntimeError) as refused:
        web.img2img(**asked, mask_image=start)
    assert refused.value.args[0] == 422


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


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_rest_of_the_api_says_so(app_with_compat: App, method: str) -> None:
    refused = app_with_compat.web.request(method, f"{BASE}/train", json={})
    assert (refused.status_code, refused.json()["error"]) == (501, "not_supported")
