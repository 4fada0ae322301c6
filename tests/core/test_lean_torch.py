from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import slow


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["Adam", slow("AdamW"), slow("RMSprop"), slow("SGD")])
def test_an_optimizer_steps_without_the_compiler_and_equally_with_it(name: str) -> None:
    run(
        "import sys, torch\n"
        "from rltrain.core.lean_torch import spare_dynamo\n"
        f"cls = torch.optim.{name}\n"
        "def trained(steps):\n"
        "    torch.manual_seed(0)\n"
        "    module = torch.nn.Linear(2, 2)\n"
        "    optimizer = cls(module.parameters(), lr=0.1)\n"
        "    optimizer.load_state_dict(optimizer.state_dict())\n"
        "    seen = []\n"
        "    optimizer.register_step_post_hook(lambda *_: seen.append(torch.is_grad_enabled()))\n"
        "    for _ in range(steps):\n"
        "        optimizer.zero_grad()\n"
        "        module(torch.ones(1, 2)).sum().backward()\n"
        "        optimizer.step()\n"
        "    assert seen == steps * [True]\n"
        "    return module.weight.detach()\n"
        "spare_dynamo(cls)\n"
        "spare_dynamo(cls)\n"
        "bare = trained(3)\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "import torch._dynamo\n"
        "assert torch.equal(bare, trained(3)) and not torch.equal(bare, trained(0))\n"
    )


@pytest.mark.slow
def test_shape_functions_wait_until_something_needs_them() -> None:
    run(
        "import sys\n"
        "from rltrain.core.lean_torch import import_torch\n"
        "import_torch()\n"
        "import torch\n"
        "assert 'torch._decomp' not in sys.modules\n"
        "module = torch.nn.Linear(2, 2)\n"
        "module(torch.ones(1, 2)).sum().backward()\n"
        "from torch._subclasses.fake_tensor import FakeTensorMode\n"
        "with FakeTensorMode():\n"
        "    assert torch.cdist(torch.ones(3, 2), torch.ones(4, 2)).shape == (3, 4)\n"
        "assert hasattr(sys.modules['torch._meta_registrations'], 'device_hint')\n"
    )


@pytest.mark.slow
def test_compilation_and_export_find_a_whole_torch() -> None:
    run(
        "from rltrain.core.lean_torch import import_torch, spare_dynamo\n"
        "import_torch()\n"
        "import torch\n"
        "spare_dynamo(torch.optim.Adam)\n"
        "f = torch.compile(lambda x: torch.cdist(x, x).sum() + 1, backend='aot_eager')\n"
        "assert f(torch.zeros(3, 2)).item() == 1\n"
        "program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))\n"
        "assert program.module()(torch.ones(1, 2)).shape == (1, 2)\n"
    )


def test_a_torch_that_is_there_stays_as_it_is() -> None:
    run(
        "import sys, torch\n"
        "from rltrain.core.lean_torch import import_torch\n"
        "import_torch()\n"
        "assert hasattr(sys.modules['torch._meta_registrations'], 'device_hint')\n"
    )
