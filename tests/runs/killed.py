"""Start a training again and again and kill it each time: ``python -m ... FOLDER KILLS``.

A process that has imported torch but not used it yet forks the victims, which saves the seconds
that an import takes.
"""

import os
import signal
import sys
import time

import numpy as np
import torch
import torch._dynamo  # otherwise every victim would import it for its first optimiser step

from minibag.training import fit
from tests.unit.training.small import on_work, quick, small_net, small_set

LONG = quick(epochs=60, ema=0.9, mixup=0.2, cutmix=1.0)  # 300 steps, all that has a state


def train(folder, net):
    """The run that is killed, and the same without a folder."""
    torch.set_num_threads(1)
    return fit(
        net, small_set(), small_set(9, seed=1), LONG, folder, save_every=3 if folder else None
    )


def victim(folder, pipe):
    """Train until killed, and write a byte into the pipe at every step."""
    net = small_net()
    on_work(net, lambda _: os.write(pipe, b"."))
    train(folder, net)


def main(folder, kills):
    rng = np.random.default_rng(0)
    for _ in range(kills):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            victim(folder, write)
            os._exit(0)
        os.close(write)
        for _ in range(rng.integers(1, 20)):
            os.read(read, 1)  # nothing comes, at once, from a victim that died of itself
        time.sleep(rng.uniform(0, 0.005))  # anywhere within a step, or while saving
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        os.close(read)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
