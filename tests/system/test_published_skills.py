"""Skills published for 0.4 run unchanged: neurocore-skill-math and neurocore-skill-postgres, as pip installs them.

They are listed, checked and run by the console script of this work tree's wheel; the provers are stand-ins that answer
as the real programs do, the language model is a server of ours, PostgreSQL is a real one.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from neurocore import __version__
from tests.skills.published import Published, libraries

pytestmark = [pytest.mark.system, pytest.mark.packages, pytest.mark.timeout(600)]

#: The programs that the skills run, each saying what it was given.
PROGRAMS = {
    "gp": 'read -r line; echo "gp has $line"',
    "gap": 'read -r line; echo "gap has $line"',
    "sage": 'echo "sage has $2"',
    "vampire": 'read -r line < "$3"; echo "$line"; echo "% SZS status Theorem for problem"',
    "eprover": 'echo "# SZS status CounterSatisfiable"',
    "prover9": 'read -r line; echo "THEOREM PROVED"',
    "mace4": 'read -r line; echo "interpretation(2, model of $line)"; echo "exiting with 1 model"',
    "lean": 'while read -r line || [ -n "$line" ]; do case "$line" in *sorry*) exit 1;; esac; done < "$1"',
    "isabelle": 'echo "ok"',
    "coqc": 'echo "Error: no such lemma"; exit 1',
}

EVERYTHING = """
name: everything
inputs:
  identity: {type: string, default: "sin(x)**2 + cos(x)**2"}
  equation: {type: string, default: "x**2 - 5*x + 6 = 0"}
  function: {type: mapping, default: {expression: "sin(x)/x"}}
  curve: {type: string, default: "x**3"}
  numbers: {type: string, default: "exp(I*pi) + 1 == 0"}
  smt: {type: string, default: "(declare-const x Int)(assert (> x 41))(assert (< x 43))"}
  contradiction: {type: mapping, default: {smtlib: "(declare-const x Int)(assert (> x x))"}}
  script: {type: string, default: "factor(12)"}
  tptp: {type: string, default: "fof(goal, conjecture, p | ~p)."}
components:
  - {name: simplify, type: sympy_simplify, config: {input_key: identity, output_key: simplified}}
  - {name: solve, type: sympy_solve, config: {input_key: equation, output_key: solved, variables: [x]}}
  - {name: diff, type: sympy_calculus, config: {input_key: curve, output_key: diff, operation: diff}}
  - {name: integrate, type: sympy_calculus, config: {input_key: curve, output_key: integral, operation: integrate}}
  - {name: limit, type: sympy_calculus, config: {input_key: function, output_key: limit, operation: limit, point: "0"}}
  - {name: series, type: sympy_calculus, config: {input_key: function, output_key: series, operation: series, order: 4}}
  - {name: compare, type: mpmath_high_precision_check, config: {input_key: numbers, precision_digits: 60}}
  - {name: refute, type: z3_smt_check, config: {input_key: smt, output_key: counterexamples.first}}
  - {name: uphold, type: z3_smt_check, config: {input_key: contradiction, timeout_seconds: 5}}
  - {name: pari, type: pari_gp_number_theory, config: {input_key: script}}
  - {name: gap, type: gap_group_theory, config: {input_key: script}}
  - {name: sage, type: sagemath_compute, config: {input_key: script}}
  - {name: vampire, type: vampire_prove_tptp, config: {input_key: tptp}}
  - {name: eprover, type: eprover_prove_tptp, config: {input_key: tptp}}
  - {name: prover9, type: prover9_prove, config: {input_key: script}}
  - {name: mace4, type: mace4_countermodel, config: {input_key: script}}
  - {name: lean, type: lean4_check, config: {input_key: script}}
  - {name: isabelle, type: isabelle_check_theory, config: {input_key: script}}
  - {name: coq, type: coq_check, config: {input_key: script}}
  - {name: cvc5, type: cvc5_smt_check, config: {input_key: smt}}
  - {name: report, type: proof_report_builder}
flow:
  type: sequential
  steps:
    - component: simplify
    - component: solve
    - component: diff
    - component: integrate
    - component: limit
    - component: series
    - component: compare
    - component: refute
    - approval: {name: review, message: "Is {{ solved.result.solutions | length }} right?", show: [solved, simplified]}
    - {component: uphold, condition: 'context.get("counterexamples.first")["status"] == "refuted"'}
    - component: pari
    - component: gap
    - component: sage
    - component: vampire
    - component: eprover
    - component: prover9
    - component: mace4
    - component: lean
    - component: isabelle
    - component: coq
    - component: cvc5
    - component: report
"""

#: A proof worker as the package's authors draw it: by ports, conditions, and a loop that repairs.
WORKER = """
name: worker
inputs: {problem: string}
components:
  - {name: parse, type: math_problem_parser}
  - {name: classify, type: math_domain_classifier}
  - {name: normalize, type: math_statement_normalizer}
  - {name: plan, type: llm_proof_planner}
  - {name: premises, type: theorem_retriever, config: {backends: [mathlib]}}
  - {name: formalize, type: lean4_formalize_statement}
  - {name: check, type: lean4_check}
  - {name: repair, type: lean4_repair}
  - {name: groups, type: gap_group_theory}
  - {name: report, type: proof_report_builder}
flow:
  type: graph
  settings: {max_iterations: 4}
  nodes:
    - {id: parse, component: parse}
    - {id: classify, component: classify}
    - {id: normalize, component: normalize}
    - {id: groups, component: groups}
    - {id: plan, component: plan}
    - {id: premises, component: premises}
    - {id: formalize, component: formalize}
    - {id: check, component: check}
    - {id: repair, component: repair}
    - {id: report, component: report}
  edges:
    - {source: parse, target: classify}
    - {source: classify, target: normalize, port: number_theory}
    - {source: classify, target: groups, port: group_theory}
    - {source: normalize, target: plan, condition: 'context.get("math.normalized").status == "ok"'}
    - {source: plan, target: premises}
    - {source: premises, target: formalize}
    - {source: formalize, target: check}
    - {source: check, target: repair, port: repair_needed}
    - {source: repair, target: check, port: repaired}
    - {source: check, target: report, port: verified}
"""

TABLE = """
name: table
inputs:
  sql: {type: string, default: "create table payments (id int primary key, iban text, amount numeric, due date)"}
  sql_params: {type: list, required: false}
components:
  - {name: create, type: postgres, config: {dsn: "${DATABASE_URL}"}}
  - {name: insert, type: postgres}
  - {name: ask, type: choose}
  - {name: query, type: postgres}
flow:
  type: sequential
  steps:
    - component: create
    - approval: {name: review, message: "{{ postgres_rows | length }} rows so far", show: [postgres_rows]}
    - component: ask
    - component: insert
    - component: ask
    - component: query
    - component: ask
    - component: query
"""

#: The project's own part: what is asked next. The first statement is done when this runs.
CHOOSE = """
from neurocore import Skill, SkillMeta

NEXT = [
    ("insert into payments values (%s, %s, %s, %s)", [1, "DE02", "12.50", "2026-01-31"]),
    ("select *, 0.1::numeric + amount as more, now() as at, '{\\"a\\": [1]}'::jsonb as doc, "
     "'6d8a1c1e-5d3c-4a0e-8f29-1c1b1e1f1a1b'::uuid as uid, 'ab'::bytea as raw, interval '90 min' as long, "
     "array[1, null] as several from payments where id = %s", [1]),
    ("select nonsense", None),
]


class Choose(Skill):
    skill_meta = SkillMeta(name="choose", provides=["sql", "sql_params"])

    def process(self, context):
        place = context.get("place", 0)
        context.set("sql", NEXT[place][0])
        context.set("sql_params", NEXT[place][1])
        context.set("place", place + 1)
        if place == 2:
            context.set("kept", context.get("postgres_rows"))
        return context
"""


class Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that answers by what it is asked for."""

    asked: ClassVar[list[tuple[str, dict[str, Any]]]] = []
    answers: ClassVar[dict[str, str]] = {
        "You parse": 'Here: {"statement": "1+1=2", "assumptions": [], "goal": "1+1=2", "variables": []}',
        "Classify": '{"domain": "number_theory", "suggested_backends": ["lean4"]}',
        "Normalize": '{"normalized": "1 + 1 = 2", "expression": "1+1-2", "smtlib": ""}',
        "You are a proof": '{"approach": "compute", "steps": ["norm_num"], "recommended_backend": "lean4"}',
        "Suggest": '{"premises": [{"name": "one_add_one_eq_two"}]}',
        "Formalize": "```lean\ntheorem t : 1 + 1 = 2 := by sorry\n```",
        "You repair": "theorem t : 1 + 1 = 2 := by norm_num",
    }

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.headers.get("Authorization", ""), body))
        system = body["messages"][0]["content"]
        text = next(answer for words, answer in self.answers.items() if system.startswith(words))
        usage = {"prompt_tokens": 7, "completion_tokens": 5}
        data = json.dumps({"model": "m-1", "choices": [{"message": {"content": text}}], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The environment with the packages."""
    return Published(tmp_path_factory.mktemp("published") / "home", libraries())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a blueprint of each kind, and the provers."""
    (tmp_path / "neurocore.yaml").write_text("project: {name: published}\n")
    for folder in ("blueprints", "skills", "programs"):
        (tmp_path / folder).mkdir()
    for name, text in {"everything": EVERYTHING, "worker": WORKER, "table": TABLE}.items():
        (tmp_path / "blueprints" / f"{name}.yaml").write_text(text)
    (tmp_path / "skills" / "choose.py").write_text(CHOOSE)
    for name, text in PROGRAMS.items():
        (tmp_path / "programs" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "programs" / name).chmod(0o755)
    return tmp_path


@pytest.fixture
def model(project: Path) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The project's language model; gives what it was asked."""
    Model.asked = []
    server = HTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (project / ".env").write_text("MODEL_KEY=sk-not-to-be-seen\n")
    with (project / "neurocore.yaml").open("a") as file:
        file.write(
            f"llm: {{provider: local, model: m, base_url: 'http://127.0.0.1:{server.server_port}/v1', "
            "api_key_env: MODEL_KEY}\n"
        )
    yield Model.asked
    server.shutdown()
    thread.join()
    server.server_close()


def inspected(published: Published, project: Path) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The newest run, its context, and its steps as `node status port`."""
    newest = published.neurocore(project, "runs", "list", "--json")["runs"][0]["run_id"]
    told = published.neurocore(project, "runs", "inspect", newest, "--json")
    assert told["run"]["status"] == "completed", told["run"]["error"]
    return told["run"], told["run"]["context"], [f"{s['node']} {s['status']} {s['port']}" for s in told["steps"]]


def test_pip_takes_this_neurocore_for_the_one_that_they_require(published: Published) -> None:
    done = subprocess.run(published.pip("check"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    there = [path.name for path in published.packages.glob("neurocore*")]
    assert sorted(there) == ["neurocore", f"neurocore_ai-{__version__}.dist-info"]


def test_they_are_listed_with_where_they_come_from(published: Published, project: Path) -> None:
    told = published.neurocore(project, "skill", "list", "--json")
    sources = {skill["name"]: skill["source"] for skill in told["skills"]}
    assert told["problems"] == []
    assert sources["postgres"] == "package neurocore-skill-postgres"
    assert sources["sympy_solve"] == "package neurocore-skill-math"
    assert list(sources.values()).count("package neurocore-skill-math") == 24
    assert "operation (string)" in published.neurocore(project, "skill", "info", "sympy_calculus")


def test_blueprints_with_them_are_checked(published: Published, project: Path, model: object) -> None:
    published.neurocore(project, "validate")
    wrong = EVERYTHING.replace("operation: diff}", "operation: derive}").replace("variables: [x]", "variables: x")
    (project / "blueprints" / "wrong.yaml").write_text(wrong.replace("type: sympy_solve", "type: sympy_solver"))
    told = " ".join(published.neurocore(project, "validate", "wrong", code=1).split())
    assert "There is no skill 'sympy_solver'; did you mean 'sympy_solve'?" in told
    assert "the config key 'operation' must be one of diff, integrate, limit, series, not 'derive'" in told


def test_every_calculation_and_prover_runs_and_its_outcome_outlives_the_gate(
    published: Published, project: Path
) -> None:
    programs = str(project / "programs")
    told = published.neurocore(project, "run", "everything", "--json", path=programs)
    assert told["status"] == "suspended"
    run_id = told["run_id"]
    published.neurocore(project, "runs", "approve", run_id, path=programs)
    _, context, steps = inspected(published, project)

    results = {key: value["result"] for key, value in context.items() if isinstance(value, dict) and "tool" in value}
    assert results["simplified"]["simplified"] == "1"
    assert results["solved"]["solutions"] == [{"x": "2"}, {"x": "3"}]
    assert [results[key]["output"] for key in ("diff", "integral", "limit")] == ["3*x**2", "x**4/4", "1"]
    assert results["series"]["output"] == "1 - x**2/6 + O(x**4)"
    assert context["evidence.numeric"]["holds"] is True
    assert results["counterexamples.first"] == {"verdict": "sat", "model": "[x = 42]"}
    assert results["counterexamples.z3"] == {"verdict": "unsat"}
    assert results["evidence.pari"]["output"] == "gp has factor(12)"
    assert results["evidence.gap"]["output"] == "gap has factor(12)"
    assert results["evidence.sage"]["output"] == "sage has factor(12)"
    assert context["proof.vampire"]["log"].startswith("fof(goal, conjecture, p | ~p).")
    assert results["proof.eprover"] == {"proof_found": False, "verdict": "disproved"}
    assert results["counterexamples.mace4"]["countermodel"].startswith("interpretation(2, model of factor(12))")
    assert results["formal.coq_result"] == {"verified": False, "errors": "Error: no such lemma"}
    assert context["validation_status"] == "verified"
    assert context["proof_artifacts"]["tools_unavailable"] == ["counterexamples.cvc5"]
    for said in (
        "refute completed counterexample_found", "review completed approved", "uphold completed no_counterexample",
        "vampire completed proof_found", "eprover completed no_proof", "prover9 completed proof_found",
        "mace4 completed counterexample_found", "lean completed verified", "isabelle completed verified",
        "coq completed repair_needed", "cvc5 completed tool_unavailable", "report completed verified",
    ):  # fmt: skip
        assert said in steps


def test_a_proof_worker_goes_by_ports_and_repairs_with_the_language_model(
    published: Published, project: Path, model: list[tuple[str, dict[str, Any]]]
) -> None:
    programs = str(project / "programs")
    published.neurocore(project, "run", "worker", "--data", "problem=Is 1+1=2?", path=programs)
    run, context, steps = inspected(published, project)
    assert steps == [
        "parse completed None", "classify completed number_theory", "groups skipped None", "normalize completed None",
        "plan completed None", "premises completed None", "formalize completed None",
        "check completed repair_needed", "repair completed repaired", "check completed verified",
        "repair skipped None", "report completed verified",
    ]  # fmt: skip
    assert context["formal.lean_candidate"]["result"]["candidate"].endswith("by norm_num")
    assert run["context"]["proof.premises"]["result"]["backends"] == ["mathlib"]
    assert len(model) == 7
    key, body = model[0]
    assert key == "Bearer sk-not-to-be-seen"
    assert (body["model"], body["max_tokens"]) == ("m", 8192)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    kept = [path for path in project.rglob("*") if path.is_file() and b"sk-not-to-be-seen" in path.read_bytes()]
    assert kept == [project / ".env"]


def test_without_a_language_model_one_sentence_says_what_to_do_and_nothing_runs(
    published: Published, project: Path
) -> None:
    told = published.neurocore(project, "run", "worker", "--data", "problem=x", code=2)
    assert (
        "parse: it needs a language model and none is configured; set llm.provider, llm.model and llm.base_url" in told
    )
    assert published.neurocore(project, "runs", "list", "--json")["runs"] == []


def test_statements_reach_a_real_postgresql_and_rows_outlive_the_gate(published: Published, project: Path) -> None:
    with published.postgres() as address:
        (project / ".env").write_text(f"DATABASE_URL={address}\n")  # `create` names it, the others find it themselves
        run_id = published.neurocore(project, "run", "table", "--json")["run_id"]
        published.neurocore(project, "runs", "approve", run_id)
    _, context, _ = inspected(published, project)
    assert isinstance(context["kept"], list), context["kept"]
    (row,) = context["kept"]
    assert (row["id"], row["iban"], row["amount"], row["more"], row["due"]) == (
        1,
        "DE02",
        "12.50",
        "12.60",
        "2026-01-31",
    )
    assert row["doc"] == {"a": [1]}
    assert row["several"] == [1, None]
    assert 'column "nonsense" does not exist' in context["postgres_rows"]["error"]
    code = (
        "import sys, json; from neurocore.config import load_config; from neurocore.persistence import build_run_store;"
        "store = build_run_store(load_config()); row = store.load_run(sys.argv[1]).final_context['data']['kept'][0];"
        "print(json.dumps({key: type(value).__name__ for key, value in row.items()}))"
    )
    done = subprocess.run(
        [str(published.bin / "python"), "-c", code, run_id], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "id": "int", "iban": "str", "amount": "Decimal", "due": "date", "more": "Decimal", "at": "datetime",
        "doc": "dict", "uid": "UUID", "raw": "bytes", "long": "timedelta", "several": "list",
    }  # fmt: skip
