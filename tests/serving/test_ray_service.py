"""The service on Ray Serve: two replicas answer as one, and go on when one of them is killed."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import ray
import requests
from ray import serve

from fashion_ops.distributed.cluster import start_ray
from fashion_ops.ray_service import application
from fashion_ops.serving.settings import ServiceSettings

PORT = 8765


@pytest.mark.skipif(not os.environ.get("FASHION_OPS_LONG"), reason="starts Ray Serve and two replicas")
def test_replicas_answer_alike_and_one_may_be_killed(bundle, predictor, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_OPS_TOKEN", "secret")
    settings = ServiceSettings(
        model=str(bundle), engine="torch", state=tmp_path / "state", start_seconds=60
    )
    start_ray("local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": PORT})
        deployment = application(settings)._bound_deployment
        two = deployment.options(num_replicas=2, ray_actor_options={"num_cpus": 1})
        serve.run(two.bind(*deployment.init_args), name="fashion-ops", route_prefix="/")
        address = f"http://127.0.0.1:{PORT}"
        expected = [
            [g.to_json()["category"] for g in predictor.predict(predictor.decode(photo, "x"), 0.0)]
            for photo in photos
        ]

        def ask(number):
            photo = number % len(photos)
            answer = requests.post(
                f"{address}/v1/garments",
                files={"photos": ("a.jpg", photos[photo])},
                data={"min_score": "0"},
                headers={"Authorization": "Bearer secret", "X-Request-ID": f"n{number}"},
                timeout=60,
            )
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-request-id"] == f"n{number}"
            [found] = answer.json()["photos"]
            return [g["category"] for g in found["garments"]] == expected[photo]

        assert requests.post(f"{address}/v1/garments", timeout=60).status_code == 401
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(24)))
            replicas = [
                actor["name"]
                for actor in ray.util.list_named_actors(all_namespaces=True)
                if actor["name"].startswith("SERVE_REPLICA::")
            ]
            assert len(replicas) == 2
            ray.kill(ray.get_actor(replicas[0], namespace="serve"), no_restart=True)
            answers = list(pool.map(_survives(ask), range(24)))
        assert sum(answers) >= 23  # what the killed one was working on may be lost
    finally:
        serve.shutdown()
        ray.shutdown()


def _survives(ask):
    def attempt(number):
        try:
            return ask(number)
        except (AssertionError, requests.RequestException):
            return False

    return attempt
