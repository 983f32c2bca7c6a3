"""Drives a browser over its DevTools protocol, and tells what it met on each page.

The arguments are the browser's command line. STEPS is a JSON array: each step opens a page,
`{"open": URL}`, or runs a script that leads to another, `{"run": SCRIPT}`. Prints one JSON array with
an object for each step: where it ended, what the browser complained about, and what it loaded.
"""

import base64
import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from websockets.sync.client import connect

DEADLINE = 30


def main():
    profile = Path(
        next(text.split("=", 1)[1] for text in sys.argv if text.startswith("--user-data-dir="))
    )
    browser = subprocess.Popen(
        [*sys.argv[1:], "--remote-debugging-port=0", "about:blank"], stderr=subprocess.DEVNULL
    )
    try:
        port, path = wait_for_address(profile / "DevToolsActivePort")
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
            tab = Tab(socket)
            print(json.dumps([tab.step(step) for step in json.loads(os.environ["STEPS"])]))
            tab.ask("Browser.close")
    finally:
        browser.terminate()
        browser.wait()


def wait_for_address(file):
    """The port and the path that the browser writes down once it listens."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if file.exists() and len(lines := file.read_text().split()) == 2:
            return lines
        time.sleep(0.02)
    raise TimeoutError("the browser does not listen")


class Tab:
    """A tab of the browser."""

    def __init__(self, socket):
        self.socket = socket
        self.numbers = itertools.count(1)
        self.session = None
        self.events = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.ask(f"{domain}.enable")

    def step(self, step):
        """Does one step, and waits until all that it loads is there."""
        self.events.clear()
        if "open" in step:
            self.ask("Page.navigate", url=step["open"])
        else:
            self.ask("Runtime.evaluate", expression=step["run"])
        answers, open_requests, complaints, loads = {}, set(), [], []
        has_loaded = False
        while not has_loaded or open_requests:
            event, told = self.event()
            number = told.get("requestId")
            if event == "Page.loadEventFired":
                has_loaded = True
            elif event == "Network.requestWillBeSent":
                open_requests.add(number)
            elif event == "Network.responseReceived":
                answers[number] = told["response"]
            elif event == "Network.loadingFinished":
                open_requests.discard(number)
                loads.append(number)
            elif event == "Network.loadingFailed":
                open_requests.discard(number)
                complaints.append(f"{told['errorText']}: {answers.get(number, {}).get('url')}")
            elif event == "Runtime.exceptionThrown":
                complaints.append(json.dumps(told["exceptionDetails"]))
            elif event == "Runtime.consoleAPICalled" and told["type"] in ["error", "assert"]:
                complaints.append(json.dumps(told["args"]))
            elif event == "Log.entryAdded" and told["entry"]["level"] == "error":
                complaints.append(f"{told['entry']['text']}: {told['entry'].get('url')}")
        where = self.ask("Runtime.evaluate", expression="location.href + ' ' + document.title")
        loads = [self.load(number, answers[number]) for number in loads]
        return {"where": where["result"]["value"], "complaints": complaints, "loads": loads}

    def load(self, number, answer):
        """What was loaded: its content counts decoded."""
        content = self.ask("Network.getResponseBody", requestId=number)
        text = content["body"]
        raw = base64.b64decode(text) if content["base64Encoded"] else text.encode()
        fields = {name.lower(): value for name, value in answer["headers"].items()}
        return {
            "url": answer["url"],
            "status": answer["status"],
            "coding": fields.get("content-encoding"),
            "sha256": hashlib.sha256(raw).hexdigest(),
        }

    def event(self):
        """The next event."""
        while not self.events:
            self.receive()
        return self.events.pop(0)

    def ask(self, method, **parameters):
        """Sends a command and waits for its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        while (message := self.receive()).get("id") != number:
            pass
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    def receive(self):
        message = json.loads(self.socket.recv(timeout=DEADLINE))
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message


if __name__ == "__main__":
    main()
