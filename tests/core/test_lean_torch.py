from __future__ import annotations

import subprocess
import sys


def test_an_optimizer_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from rltrain.core.lean_torch import spare_dynamo\n"
        "spare_dynamo()\n"
        "module = torch.nn.Linear(2, 2)\n"
        "optimizer = torch.optim.Adam(module.parameters())\n"
        "optimizer.load_state_dict(optimizer.state_dict())\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "module(torch.ones(1, 2)).sum().backward()\n"
        "before = module.weight.clone()\n"
        "optimizer.step()\n"  # imports it, and works all the same
        "assert not torch.equal(before, module.weight)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


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


def test_compilation_and_export_find_a_whole_torch() -> None:
    run(
        "from rltrain.core.lean_torch import import_torch, spare_dynamo\n"
        "import_torch()\n"
        "import torch\n"
        "spare_dynamo()\n"
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
