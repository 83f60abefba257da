"""Who calls, when the API is tried out against its own description.

An administrator; and somebody new for what ends the caller's own sessions or account, so that the
administrator goes on being one.
"""

import itertools
import json
import os
import time
import urllib.error
import urllib.request

import schemathesis

URL = os.environ["KOPECK_URL"]
ADMINISTRATOR = {"email": os.environ["KOPECK_EMAIL"], "password": os.environ["KOPECK_PASSWORD"]}
ENDS_ONESELF = {
    "/auth/v1/logout",
    "/auth/v1/logout-all",
    "/auth/v1/me",
    "/auth/v1/me/password",
    "/auth/v1/me/sessions/{id}",
}
# Well under the life of an access token.
REMEMBERED_SECONDS = 60

numbers = itertools.count()
remembered = {}


def post(path, body):
    request = urllib.request.Request(
        URL + path, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def is_good(token):
    request = urllib.request.Request(URL + "/auth/v1/me", headers={"authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30):
            return True
    except urllib.error.HTTPError:
        return False


def administrator():
    since, token = remembered.get("administrator", (0, None))
    if time.monotonic() - since > REMEMBERED_SECONDS:
        token = post("/auth/v1/login", ADMINISTRATOR)["access_token"]
        remembered["administrator"] = (time.monotonic(), token)
    return token


def somebody():
    token = remembered.get("somebody")
    if token is None or not is_good(token):
        person = {
            "email": f"somebody-{os.getpid()}-{next(numbers)}@cinema.example",
            "password": "a long enough password",
        }
        post("/auth/v1/register", person)
        token = post("/auth/v1/login", person)["access_token"]
        remembered["somebody"] = token
    return token


@schemathesis.auth(refresh_interval=None)
class Caller:
    def get(self, case, context):
        return somebody() if case.path in ENDS_ONESELF else administrator()

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
