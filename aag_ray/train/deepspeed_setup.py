"""DeepSpeed behind the loop's `Engine` interface: ZeRO 0-3, on CPU and GPU, without compiling anything.

AdamW is PyTorch's, so that no DeepSpeed operator (a C++ or CUDA extension built at run time) is ever needed.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore

from aag_ray.config import TrainingSection
from aag_ray.llm.objective import Example, Objective
from aag_ray.train.engine import MicroBatch, TrainingError, adamw, trained_parameters

TAG = "deepspeed"
SMALL = 100_000  # numbers; DeepSpeed's own default


def import_deepspeed(use_gpu: bool) -> ModuleType:
    """DeepSpeed, quiet, set to the device, and kept from building its shared-memory operator for CPUs.

    That build takes minutes, and one that is killed leaves a lock on which later runs wait. DeepSpeed builds what
    `deepspeed.ops.__compatible_ops__` allows; setting it also skips the probe, which starts compilers.
    """
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if use_gpu else "cpu")
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    import deepspeed
    import deepspeed.ops

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # DeepSpeed's own calls, thousands of them.
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
    setattr(deepspeed.ops, "__compatible_ops__", {})  # noqa: B010 - a literal name would be mangled by type checkers
    return deepspeed


def join_workers(use_gpu: bool) -> ModuleType:
    """DeepSpeed on the ranks of torch.distributed; a lone process makes its own group of one."""
    deepspeed = import_deepspeed(use_gpu)
    backend = "nccl" if use_gpu else "gloo"
    if not dist.is_initialized():
        # An in-memory store: no port, no rendezvous.
        os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed asks for it even then
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    deepspeed.init_distributed(backend, auto_mpi_discovery=False, verbose=False)
    return deepspeed


def deepspeed_config(
    training: TrainingSection, world: int, zero_stage: int, dtype: torch.dtype, offload: bool = False
) -> dict[str, Any]:
    """The DeepSpeed configuration of one training. With `offload`, what is sharded lies in the CPU's memory.

    Raises TrainingError for anything but fp32 and bf16.
    """
    if dtype not in (torch.float32, torch.bfloat16):
        raise TrainingError(f"trained parameters are {dtype}; DeepSpeed trains float32 or bfloat16 here")
    half = dtype == torch.bfloat16
    # ZeRO-1 keeps the float32 master weights of bfloat16 ones; its loss curve is PyTorch's, that of stage 0 was not.
    stage = max(1, zero_stage) if half else zero_stage
    zero: dict[str, Any] = {"stage": stage}
    if stage == 3:
        zero["stage3_param_persistence_threshold"] = SMALL
    if offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
        if stage == 3:
            zero["offload_param"] = dict(zero["offload_optimizer"])
    return {
        "train_micro_batch_size_per_gpu": max(1, training.batch // (training.accumulation * world)),
        "gradient_accumulation_steps": training.accumulation,
        # Without ZeRO nothing in DeepSpeed reports the norm, so DeepSpeedEngine clips in that case.
        "gradient_clipping": training.clip if stage else 0.0,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": zero,
        "bf16": {"enabled": half},
        "steps_per_print": 1 << 62,
    }


class DeepSpeedEngine:
    """`Engine` on the ranks of torch.distributed; a lone process makes its own group of one.

    Trained parameters must be float32, or all bfloat16 (then DeepSpeed keeps a float32 master copy).
    """

    def __init__(self, objective: Objective, training: TrainingSection, zero_stage: int = 0, offload: bool = False) -> None:
        parameters = list(trained_parameters(objective).values())
        use_gpu = parameters[0].is_cuda
        deepspeed = join_workers(use_gpu)
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        dtypes = {parameter.dtype for parameter in parameters}
        if len(dtypes) > 1:
            raise TrainingError(f"trained parameters have mixed types ({', '.join(sorted(map(str, dtypes)))}); make them equal")
        config = deepspeed_config(training, self.world, zero_stage, dtypes.pop(), offload)
        optimizer = adamw(objective, training)
        self.norm: Any = None
        if not config["gradient_clipping"]:

            def clip(*_: Any) -> None:
                self.norm = nn.utils.clip_grad_norm_(parameters, training.clip)

            optimizer.register_step_pre_hook(clip)
        self.engine, *_ = deepspeed.initialize(model=objective, optimizer=optimizer, config=config, dist_init_required=False)
        self.gathered: Any = deepspeed.zero.GatheredParameters
        self.sharded_weights = zero_stage == 3
        if self.sharded_weights:
            beside: list[Any] = _beside_base(objective)
            for parameter in beside:
                parameter.is_external_param = True  # no module's own, so none takes it away
                if not parameter.ds_persist:
                    parameter.ds_persist = True
                    self.engine.optimizer.persistent_parameters.append(parameter)
        self._fetch_whole()

    def step(self, micro_batches: Sequence[MicroBatch], learning_rate: float) -> tuple[list[dict[str, Tensor]], Any]:
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate
        terms = []
        for examples, factor in micro_batches:
            losses = self.engine(examples)
            self.engine.backward(losses["loss"] * factor)
            self.engine.step()
            terms.append({name: value.detach() for name, value in losses.items()})
        return terms, self.norm if self.norm is not None else self.engine.get_global_grad_norm()

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[float]:
        if self.sharded_weights:  # as a pass through the whole objective would begin, which scoring is not
            self.engine.optimizer.parameter_offload.get_param_coordinator().reset_step()
        return self.engine.module.score(examples)

    def saved_weights(self) -> AbstractContextManager[None]:
        objective = self.engine.module
        base = objective.loaded.model.parameters() if objective.loaded is not None else ()
        unsaved = {id(parameter) for parameter in base if not parameter.requires_grad}
        parts: list[Any] = [parameter for parameter in objective.parameters() if id(parameter) not in unsaved]
        return self.gathered([part for part in parts if not part.ds_persist] if self.sharded_weights else [])

    def _fetch_whole(self) -> None:
        """Fetch the parameters that are not sharded, which nothing does where no module is called for its own."""
        if self.sharded_weights:
            self.engine.optimizer.checkpoint_event_epilogue()

    def save(self, folder: Path) -> None:
        self.engine.save_checkpoint(str(folder), tag=TAG, save_latest=False, exclude_frozen_parameters=True)

    def load(self, folder: Path) -> None:
        # DeepSpeed unpickles these files: they are this run's own, checked by hash before.
        path, _ = self.engine.load_checkpoint(str(folder), tag=TAG, load_module_strict=False, load_lr_scheduler_states=False)
        if path is None:
            raise TrainingError(f"DeepSpeed finds no state below {folder}")

    def gather(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def close(self) -> None:
        self.engine.destroy()


def _beside_base(objective: Objective) -> list[nn.Parameter]:
    """The trained parameters that are not the base model's: those of a LoRA or a hypernetwork.

    ZeRO-3 fetches a module's weights for its forward pass, and again when the gradients of its outputs, tensors, arrive. What
    these give out is an Adapter, so their weights would be gone when their gradients are there: they are not sharded.
    """
    if objective.loaded is None:
        return []
    base = {id(parameter) for parameter in objective.loaded.model.parameters()}
    return [parameter for parameter in trained_parameters(objective).values() if id(parameter) not in base]
