"""placeholder"""

ROBUSTNESS = "robustness.json"


def read_robustness(path):
    import json

    return json.loads(path.read_text())["conditions"]
