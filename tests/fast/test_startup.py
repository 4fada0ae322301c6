from __future__ import annotations

import subprocess
import sys


def test_an_optimizer_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from rltrain.fast.startup import spare_dynamo\n"
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
