"""Time Torch-Pruning on one torchvision model, in an environment of its own: nothing of this project is imported.

    PYTHON -m pip install torch torchvision torch-pruning
    PYTHON benchmarks/torch_pruning_peer.py NAME

Prints one line of JSON: seconds to build the model, to build the dependency graph (the pruner's constructor) and
to prune by half in one step (importance, choice and surgery), by the L1 norm on one thread.
"""

import json
import sys
import time
import warnings

import torch
import torch_pruning
import torchvision

SIZE = 224


def measure(name: str) -> dict[str, float]:
    """Build, trace and prune one model."""
    start = time.perf_counter()
    model = getattr(torchvision.models, name)(weights=None).eval()
    built = time.perf_counter()
    params_before = _count(model)
    heads = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer.out_features == 1000]
    images = torch.randn(1, 3, SIZE, SIZE)
    begun = time.perf_counter()
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        images,
        importance=torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=0.5,
        ignored_layers=heads,
    )
    traced = time.perf_counter()
    pruner.step()
    stepped = time.perf_counter()
    return {
        "peer build s": built - start,
        "peer graph s": traced - begun,
        "peer step s": stepped - traced,
        "peer params": params_before,
        "peer params left": _count(model),
    }


def _count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    measure("mobilenet_v3_small")  # What comes first in a process also sets up PyTorch.
    sys.stdout.write(json.dumps(measure(sys.argv[1])) + "\n")
