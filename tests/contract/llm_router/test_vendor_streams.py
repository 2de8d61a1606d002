"""The router in front of emulated vendors, through the vendor SDKs over HTTP."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from contextlib import aclosing

import pytest
from hocket.llm_router.v1 import llm_router_pb2 as pb
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image

from hocket.chassis import errors
from services.llm_router.attempts import attempt
from services.llm_router.attempts.timeouts import AttemptTimeouts
from services.llm_router.billing.attempt_cost import AttemptOutcome
from tests.emulators.router_harness import (
    LONG_TIMEOUTS,
    SHORT_TIMEOUTS,
    RouterHarness,
    asking,
    assistant,
    running_router,
    system,
    text_of,
    user,
)
from tests.emulators.scenario import Scenario
from tests.fakes.waiting import DEADLINE_S, until

pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")

SONNET, FLASH, HAIKU, LITE = "claude-sonnet-5-5", "gemini-3.8-flash", "claude-haiku-5-5", "gemini-2.5-flash-lite"
LOCAL = "openai-compatible"
_png = io.BytesIO()
Image.new("RGB", (8, 8), "red").save(_png, "PNG")
PNG = _png.getvalue()
OK = "Hello there, this is an answer."
WEATHER = pb.Tool(
    name="weather",
    description="Tells the weather.",
    parameters_json_schema='{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}',
)


def finish(events: list[pb.GenerateResponse]) -> pb.Finish:
    assert events[-1].WhichOneof("event") == "finish"
    return events[-1].finish


def emulator_of(w: RouterHarness, alias: str):
    return w.gemini if alias.startswith("gemini") else w.openai if alias == LOCAL else w.anthropic


@pytest.mark.parametrize("alias", [SONNET, FLASH, LOCAL])
async def test_each_vendor_streams_text_and_the_ledger_equals_its_bill(alias: str):
    async with running_router() as w:
        events = await w.answer(asking(system("Be brief."), "Hello?", pin_model=alias))
        emulator = emulator_of(w, alias)
    assert text_of(events) == OK
    assert (events[0].route.model, finish(events).reason) == (alias, pb.FINISH_REASON_STOP)
    assert finish(events).usage.output_tokens > 0
    assert w.ledger.total_micro_usd == emulator.total_micro_usd == finish(events).cost_micro_usd
    assert [c.event_id for c in w.ledger.costs] == list(finish(events).cost_event_ids)


@pytest.mark.parametrize("alias", [SONNET, FLASH, LOCAL])
async def test_tool_calls_arrive_whole_and_their_results_are_sent_back(alias: str):
    async with running_router() as w:
        emulator = emulator_of(w, alias)
        model = "local-model" if alias == LOCAL else alias
        emulator.play(model, Scenario(text="", calls=(("weather", {"city": "Zürich"}),)))
        asked = user("How is the weather in Zürich?")
        events = await w.answer(asking(asked, tools=[WEATHER], pin_model=alias))
        call = next(e.tool_call for e in events if e.HasField("tool_call"))
        result = pb.ToolResult(call_id=call.call_id, name="weather", content='{"sky": "clear"}')
        done = pb.Message(role=pb.ROLE_TOOL, parts=[pb.Part(tool_result=result)])
        again = await w.answer(
            asking(asked, assistant(pb.Part(tool_call=call)), done, tools=[WEATHER], pin_model=alias)
        )
        sent = json.dumps(emulator.requests[-1]["body"], ensure_ascii=False)
    assert (call.name, json.loads(call.arguments_json)) == ("weather", {"city": "Zürich"})
    assert finish(events).reason == pb.FINISH_REASON_TOOL_CALLS
    assert text_of(again) == OK
    assert "clear" in sent
    assert "Zürich" in sent


FAULTS = {
    "429": Scenario("status", status=429),
    "529": Scenario("status", status=529),
    "503": Scenario("status", status=503),
    "400": Scenario("status", status=400),
    "refusal": Scenario("refusal"),
    "max_tokens_empty": Scenario("max_tokens_empty"),
    "keep_alive": Scenario("keep_alive"),
    "slow_first": Scenario(first_s=30),
    "slow_connect": Scenario(connect_s=30),
    "cut_before_text": Scenario("cut", after=0),
    "reset_before_text": Scenario("reset", after=0),
    "error_before_text": Scenario("error_event", after=0),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("first", ["anthropic", "gemini"])
async def test_a_failure_before_any_output_falls_back_to_the_next_candidate(first: str, fault: str):
    tier = pb.TIER_COMPLEX if first == "anthropic" else pb.TIER_SIMPLE
    async with running_router(SHORT_TIMEOUTS if "slow" in fault or fault == "keep_alive" else LONG_TIMEOUTS) as w:
        faulty = w.anthropic if first == "anthropic" else w.gemini
        faulty.play("*", FAULTS[fault])
        events = await w.answer(asking("Hello?", pin_tier=tier))
    routes = [e.route for e in events if e.HasField("route")]
    assert text_of(events) == OK
    assert len(routes) > 1
    assert [r.attempt for r in routes] == list(range(1, len(routes) + 1))
    assert finish(events).reason == pb.FINISH_REASON_STOP
    assert len(w.ledger.costs) == len(routes)
    assert w.ledger.costs[0].outcome is AttemptOutcome.FAILED
    assert w.ledger.total_micro_usd == w.billed_micro_usd == finish(events).cost_micro_usd


async def test_an_unexpected_adapter_error_is_a_failure_and_not_an_empty_answer(monkeypatch):
    async with running_router() as w:

        def connection_failure(*_: object) -> None:
            raise RuntimeError("words of a user")

        monkeypatch.setattr(w.router._ports.providers["anthropic"], "stream", connection_failure)
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_COMPLEX))
        with pytest.raises(errors.Unavailable) as caught:
            await w.answer(asking("Hello?", pin_model=SONNET))
    assert text_of(events) == OK
    assert finish(events).served_model.startswith("gemini")
    assert "words of a user" not in str(caught.value)


@pytest.mark.parametrize("kind", ["cut", "reset", "error_event", "stall"])
@pytest.mark.parametrize("alias", [SONNET, FLASH])
async def test_a_failure_after_output_ends_the_answer_as_cut_without_repetition(alias: str, kind: str):
    async with running_router(SHORT_TIMEOUTS if kind == "stall" else LONG_TIMEOUTS) as w:
        tier = pb.TIER_COMPLEX if alias == SONNET else pb.TIER_MODERATE
        emulator_of(w, alias).always("*", Scenario(kind, after=40, text="really " * 60))
        events = await w.answer(asking("Hello?", pin_tier=tier))
    assert text_of(events).split() == ["really"] * 40
    assert finish(events).reason == pb.FINISH_REASON_CUT
    assert len([e for e in events if e.HasField("route")]) == 1
    # Gemini tells usage with each chunk. Anthropic tells the output at the end alone: it is asked to count what came.
    assert w.ledger.costs[0].estimated == (alias == SONNET)
    assert w.ledger.total_micro_usd == w.billed_micro_usd == finish(events).cost_micro_usd


@pytest.mark.parametrize("alias", [SONNET, FLASH, LOCAL])
async def test_a_prompt_without_vendor_response_is_recorded_as_unconfirmed_tokens(alias: str):
    async with running_router() as w:
        emulator_of(w, alias).always("*", Scenario(connect_s=3600))
        with pytest.raises(errors.MeshError):
            await w.answer(asking("Hello?" * 100, pin_model=alias), timeout_s=1)
        await until(lambda: w.ledger.costs)
    (cost,) = w.ledger.costs
    assert (cost.cost_micro_usd, cost.estimated) == (0, True)
    assert cost.unconfirmed_tokens >= 100


@pytest.mark.parametrize("alias", [SONNET, FLASH, LOCAL])
async def test_a_refused_prompt_costs_nothing(alias: str):
    async with running_router() as w:
        emulator_of(w, alias).always("*", Scenario("status", status=400))
        with pytest.raises(errors.MeshError):
            await w.answer(asking("Hello?", pin_model=alias))
    assert {(c.cost_micro_usd, c.estimated, c.unconfirmed_tokens) for c in w.ledger.costs} == {(0, False, 0)}


async def test_output_without_a_vendor_count_is_estimated():
    async with running_router() as w:
        w.anthropic.counts = False
        w.anthropic.always("*", Scenario("cut", after=40, text="really " * 60))
        await w.answer(asking("Hello?", pin_tier=pb.TIER_COMPLEX))
    assert w.ledger.costs[0].estimated
    assert w.ledger.total_micro_usd == pytest.approx(w.billed_micro_usd, rel=0.25)


async def test_gemini_usage_of_a_cut_answer_wins_over_an_estimate():
    async with running_router() as w:
        # Four bytes a token are more than an estimate gives it: the estimate would be the dearer one.
        w.gemini.always("*", Scenario("cut", after=3, text="extraordinarily " * 5))
        await w.answer(asking("Hello?", pin_model=FLASH))
    assert [c.estimated for c in w.ledger.costs] == [False]
    assert w.ledger.total_micro_usd == w.billed_micro_usd


@pytest.mark.parametrize("alias", [SONNET, FLASH, LOCAL])
async def test_a_connection_closed_by_the_vendor_between_turns_is_not_reused(alias: str):
    async with running_router() as w:
        emulator = emulator_of(w, alias)
        await w.answer(asking("Hello?", pin_model=alias))
        await emulator.stop()
        await emulator.start(emulator.port)
        events = await w.answer(asking("And now?", pin_model=alias))
    assert text_of(events) == OK
    assert [c.outcome for c in w.ledger.costs] == [AttemptOutcome.OK, AttemptOutcome.OK]


async def test_the_route_event_follows_the_vendor_request():
    limits = AttemptTimeouts(first_token_s=3600, fallback_first_token_s=3600, between_tokens_s=3600, total_s=3600)
    async with running_router(limits) as w:
        # A route told with the first word would come too late.
        w.anthropic.play(SONNET, Scenario(first_s=3600))
        asked = asking("Hello?", pin_model=SONNET)
        async with aclosing(w.client.generate(asked, timeout_s=3600)) as events, asyncio.timeout(DEADLINE_S):
            first = await anext(events)
    assert first.HasField("route")


async def test_a_duplicate_start_changes_nothing():
    async with running_router() as w:
        w.anthropic.play("*", Scenario("duplicate_start"))
        events = await w.answer(asking("Hello?", pin_model=SONNET))
    assert text_of(events) == OK
    assert w.ledger.total_micro_usd == w.anthropic.total_micro_usd


async def test_an_outage_of_every_vendor_is_a_typed_error_within_the_deadline():
    async with running_router() as w:
        for emulator in (w.anthropic, w.gemini, w.openai):
            emulator.always("*", Scenario("status", status=503))
        # Later it would be DeadlineExceeded.
        with pytest.raises(errors.Unavailable) as caught:
            await w.answer(asking("Hello?"), timeout_s=20)
    assert caught.value.reason == "ALL_MODELS_FAILED"
    assert w.ledger.total_micro_usd == 0


async def test_a_silent_model_leaves_half_of_the_callers_time_for_the_next():
    async with running_router() as w:
        w.anthropic.always("*", Scenario("keep_alive"))
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_COMPLEX), timeout_s=10)
    assert text_of(events) == OK
    assert len(w.anthropic.requests) >= 1


@pytest.mark.parametrize(
    ("kind", "reason"), [("refusal", pb.FINISH_REASON_REFUSAL), ("max_tokens_empty", pb.FINISH_REASON_LENGTH)]
)
@pytest.mark.parametrize("alias", [SONNET, FLASH])
async def test_a_refusal_is_the_answer_when_no_other_model_answers(alias: str, kind: str, reason: int):
    async with running_router() as w:
        emulator_of(w, alias).play(alias, Scenario(kind))
        events = await w.answer(asking("Hello?", pin_model=alias))
    assert [e.WhichOneof("event") for e in events] == ["route", "finish"]
    assert finish(events).reason == reason
    assert w.ledger.total_micro_usd == emulator_of(w, alias).total_micro_usd > 0


@pytest.mark.parametrize("hint", [{"retry_after_s": 0.2}, {"retry_info_s": 0.2}])
async def test_a_single_rate_limited_model_is_retried_after_its_wait(hint: dict[str, float]):
    async with running_router() as w:
        w.gemini.play(FLASH, Scenario("status", status=429, **hint))
        started = time.monotonic()
        events = await w.answer(asking("Hello?", pin_model=FLASH))
        took_s = time.monotonic() - started
    assert text_of(events) == OK
    assert took_s >= 0.2


async def test_a_retry_wait_beyond_the_deadline_is_not_started():
    async with running_router() as w:
        w.gemini.always(FLASH, Scenario("status", status=429, retry_info_s=80))
        with pytest.raises(errors.Unavailable) as caught:
            await w.answer(asking("Hello?", pin_model=FLASH), timeout_s=20)
    assert caught.value.retry_after_s == 80
    assert len(w.gemini.requests) == 1


async def test_a_repeatedly_failing_model_is_skipped_and_reported_as_open():
    async with running_router() as w:
        w.gemini.always(FLASH, Scenario("status", status=503))
        for _ in range(8):
            await w.answer(asking("Hello?", pin_tier=pb.TIER_MODERATE, tools=[WEATHER]))
            with pytest.raises(errors.Unavailable):
                await w.answer(asking("Hello?", pin_model=FLASH), timeout_s=20)
        sent = sum(r["model"] == FLASH for r in w.gemini.requests)
        health = {h.alias: h for h in await w.client.get_health()}
    assert health[FLASH].breaker == pb.BREAKER_STATE_OPEN
    assert sent <= 6


@pytest.mark.parametrize("alias", [SONNET, FLASH, LOCAL])
@pytest.mark.parametrize("after_first", [True, False])
async def test_the_vendor_call_is_cancelled_when_the_caller_cancels(alias: str, after_first: bool):
    slow = Scenario(between_s=0.05, text="word " * 100) if after_first else Scenario(first_s=30)
    async with running_router() as w:
        emulator = emulator_of(w, alias)
        emulator.always("*", slow)
        async with aclosing(w.client.generate(asking("Hello?", pin_model=alias))) as events:
            async for event in events:
                if event.HasField("text_delta") or not after_first:
                    break
            if not after_first:
                await until(lambda: emulator.requests)
            left = time.monotonic()
        await asyncio.wait_for(emulator.disconnected.wait(), DEADLINE_S)
        await until(lambda: w.ledger.costs)
    assert emulator.disconnected_at_s > left
    assert [c.outcome for c in w.ledger.costs] == [AttemptOutcome.CANCELLED]


@pytest.mark.parametrize("alias", [SONNET, FLASH])
async def test_provider_state_is_returned_with_its_part(alias: str):
    async with running_router() as w:
        emulator = emulator_of(w, alias)
        emulator.play(alias, Scenario(text="", thinking="hmm", calls=(("weather", {"city": "Bern"}),)))
        asked = user("Weather in Bern?")
        events = await w.answer(asking(asked, tools=[WEATHER], pin_model=alias))
        call = next(e.tool_call for e in events if e.HasField("tool_call"))
        state = next(e.provider_state for e in events if e.HasField("provider_state"))
        part = pb.Part(tool_call=call, provider_state={state.provider: state.data})
        result = pb.ToolResult(call_id=call.call_id, name="weather", content="rain")
        done = pb.Message(role=pb.ROLE_TOOL, parts=[pb.Part(tool_result=result)])
        await w.answer(asking(asked, assistant(part), done, tools=[WEATHER], pin_model=alias))
        sent = json.dumps(emulator.requests[-1]["body"])
    assert state.call_id == call.call_id
    assert ("signed:hmm" if alias == SONNET else "aG1t") in sent


async def test_a_conversation_with_tools_and_barge_ins_moves_between_vendors():
    call = pb.Part(tool_call=pb.ToolCall(call_id="weird id/1", name="weather", arguments_json='{"city":"Bern"}'))
    turns = [
        system("Be brief."),
        assistant("Hello, I am here."),
        user("Weather in Bern?"),
        assistant("Let me see.", call),
        user("Never mind, in Basel?"),
        user("Please."),
    ]
    async with running_router() as w:
        for alias in (SONNET, FLASH, LOCAL):
            events = await w.answer(asking(*turns, tools=[WEATHER], pin_model=alias))
            assert text_of(events) == OK
        bodies = [json.dumps(e.requests[-1]["body"]) for e in (w.anthropic, w.gemini, w.openai)]
    for body in bodies:
        assert "Basel" in body
        assert "not run" in body


async def test_a_long_prefix_is_cached_once_then_read_and_recorded_to_the_micro_usd():
    rules = system("Follow the house rules. " * 300)
    async with running_router() as w:
        first = await w.answer(asking(rules, "Hello?", pin_model=SONNET, conversation_id="c"))
        turns = [rules, user("Hello?"), assistant(text_of(first)), user("And now?")]
        second = await w.answer(asking(*turns, pin_model=SONNET, conversation_id="c"))
        turns += [assistant(text_of(second)), user("And then?")]
        third = await w.answer(asking(*turns, pin_model=SONNET, conversation_id="c"))
    usages = [finish(e).usage for e in (first, second, third)]
    assert usages[0].cache_write_tokens > 1024
    assert usages[1].cached_input_tokens >= usages[0].cache_write_tokens
    assert usages[2].cached_input_tokens > usages[1].cached_input_tokens
    assert w.ledger.total_micro_usd == w.anthropic.total_micro_usd
    assert finish(third).cost_micro_usd < finish(first).cost_micro_usd


async def test_a_substituted_model_is_recorded_as_served():
    async with running_router() as w:
        w.gemini.play(FLASH, Scenario(served_model="gemini-3.5-flash-lite"))
        events = await w.answer(asking("Hello?", pin_model=FLASH))
    assert finish(events).served_model == "gemini-3.5-flash-lite"
    assert finish(events).price_row.startswith("gemini-3.5-flash-lite@")
    assert w.ledger.total_micro_usd == w.gemini.total_micro_usd


async def test_the_thinking_level_is_sent():
    async with running_router() as w:
        await w.answer(asking("Hello?", pin_model=FLASH))
        thinking = w.gemini.requests[-1]["body"]["generationConfig"]["thinkingConfig"]
    assert (thinking.get("thinkingLevel") or thinking.get("thinking_level")) == "LOW"


async def test_a_json_schema_goes_to_the_vendor_that_serves_it():
    schema = '{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
    async with running_router() as w:
        for alias in (SONNET, FLASH, LOCAL):
            await w.answer(asking("Hello?", pin_model=alias, response_json_schema=schema))
            body = emulator_of(w, alias).requests[-1]["body"]
            assert '"additionalProperties"' in json.dumps(body)


async def test_a_speculative_call_is_recorded_as_such():
    async with running_router() as w:
        await w.answer(asking("Hello?", pin_model=SONNET, speculative=True, room="r", turn_id="t"))
    assert [(c.speculative, c.room, c.turn_id) for c in w.ledger.costs] == [(True, "r", "t")]


async def test_a_tenant_near_its_budget_gets_the_simple_tier_and_one_over_it_is_refused():
    async with running_router(budget_micro_usd=1000) as w:
        w.router._ports.budgets.standing("acme", 1000)
        w.router._ports.budgets.record("acme", 850)
        events = await w.answer(asking("Explain why the sky is blue, step by step. " * 50))
        w.router._ports.budgets.record("acme", 200)
        with pytest.raises(errors.ResourceExhausted) as caught:
            await w.answer(asking("Hello?"))
    assert events[0].route.tier == pb.TIER_SIMPLE
    assert events[0].route.reasons[0].name == "budget"
    assert caught.value.reason == "BUDGET_EXHAUSTED"


async def test_a_running_attempt_is_reserved_under_the_id_of_its_cost_event():
    async with running_router() as w:
        await w.answer(asking("Hello?", pin_model=SONNET))
    assert {c.event_id for c in w.ledger.reserved} == {c.event_id for c in w.ledger.costs}
    asked, accepted, *_ = w.ledger.reserved
    # Before the vendor has said a word, and when it has told what it read.
    assert (asked.cost_micro_usd, asked.estimated, asked.unconfirmed_tokens > 0) == (0, True, True)
    assert (accepted.usage.input_tokens, accepted.unconfirmed_tokens) == (w.ledger.costs[0].usage.input_tokens, 0)


async def test_the_journal_follows_the_output_of_a_running_answer(monkeypatch):
    monkeypatch.setattr(attempt, "RESERVE_INTERVAL_S", 0.0)
    async with running_router() as w:
        await w.answer(asking("Hello?", pin_model=SONNET))
    # The last one is the vendor's own word at the end.
    _, *outputs, told = [c.usage.output_tokens for c in w.ledger.reserved]
    assert outputs == sorted(outputs)
    assert outputs[0] < outputs[-1]
    assert told == w.ledger.costs[0].usage.output_tokens


async def test_images_and_passages_reach_every_vendor_unchanged():
    picture = pb.Part(image=pb.Image(data=PNG, mime_type="image/png"))
    passage = pb.Part(passage=pb.Passage(title="Hours", text="We open at 9."))
    async with running_router() as w:
        for alias in (SONNET, FLASH, LOCAL):
            await w.answer(asking(user("What is it?", picture, passage), pin_model=alias))
            body = json.dumps(emulator_of(w, alias).requests[-1]["body"])
            assert base64.b64encode(PNG).decode() in body.replace("-", "+").replace("_", "/")
            assert "We open at 9." in body


async def test_a_slow_model_is_hedged_and_the_loser_is_cancelled_and_recorded():
    async with running_router() as w:
        for _ in range(25):
            await w.answer(asking("Hello?", pin_tier=pb.TIER_SIMPLE))
        w.gemini.always(LITE, Scenario(first_s=30))
        events = await w.answer(asking("Hello?", pin_tier=pb.TIER_SIMPLE))
        await asyncio.wait_for(w.gemini.disconnected.wait(), DEADLINE_S)
    assert [e.route.model for e in events if e.HasField("route")] == [LITE, HAIKU]
    assert text_of(events) == OK
    # Cancelled: a model that ran out of its own time would be failed.
    outcomes = {c.model: c.outcome for c in w.ledger.costs[-2:]}
    assert outcomes == {LITE: AttemptOutcome.CANCELLED, HAIKU: AttemptOutcome.OK}


async def test_spans_follow_the_conventions_and_count_cached_tokens_inside_the_input():
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    rules = system("Follow the house rules. " * 300)
    async with running_router() as w:
        await w.answer(asking(rules, "Hello?", pin_model=SONNET))
        await w.answer(asking(rules, "Hello?", pin_model=SONNET, conversation_id="c"))
    chats = [dict(s.attributes) for s in exporter.get_finished_spans() if s.name == f"chat {SONNET}"]
    routes = [dict(s.attributes) for s in exporter.get_finished_spans() if s.name == "route"]
    read = chats[-1]["gen_ai.usage.cache_read.input_tokens"]
    assert read > 1024
    assert chats[-1]["gen_ai.usage.input_tokens"] == w.ledger.costs[-1].usage.prompt_tokens >= read
    assert chats[-1]["gen_ai.provider.name"] == "anthropic"
    assert chats[-1]["gen_ai.conversation.id"] == "c"
    assert chats[-1]["gen_ai.response.finish_reasons"] == ("stop",)
    assert routes[-1]["hocket.llm_router.cause"] == "pinned_model"
    assert "Hello" not in str(chats + routes)


async def test_an_outcome_is_stored_with_the_features_of_its_turn_and_without_its_text(tmp_path):
    path = tmp_path / "outcomes.jsonl"
    async with running_router(outcomes_file=path) as w:
        await w.answer(asking("Tell me the secret word.", turn_id="t1"))
        await w.client.record_outcome("t1", pb.OUTCOME_RE_ASKED)
        with pytest.raises(errors.NotFound) as unknown:
            await w.client.record_outcome("t2", pb.OUTCOME_RE_ASKED)
        with pytest.raises(errors.InvalidArgument) as unset:
            await w.client.record_outcome("t1", pb.OUTCOME_UNSPECIFIED)
    row = json.loads(path.read_text())
    assert (row["turn"], row["outcome"], row["features"]["words"] > 0) == ("acme/t1", "re_asked", True)
    assert "secret" not in path.read_text()
    assert unknown.value.reason == "TURN_NOT_FOUND"
    assert list(unset.value.fields) == ["outcome"]


async def test_an_open_tool_call_stays_with_the_model_that_made_it():
    async with running_router() as w:
        w.anthropic.always(SONNET, Scenario(text="", calls=(("weather", {"city": "Bern"}),)))
        asked = user("Weather in Bern?")
        first = await w.answer(asking(asked, tools=[WEATHER], pin_model=SONNET, conversation_id="c"))
        call = next(e.tool_call for e in first if e.HasField("tool_call"))
        result = pb.ToolResult(call_id=call.call_id, name="weather", content="rain")
        done = pb.Message(role=pb.ROLE_TOOL, parts=[pb.Part(tool_result=result)])
        second = await w.answer(
            asking(asked, assistant(pb.Part(tool_call=call)), done, tools=[WEATHER], conversation_id="c")
        )
    assert second[0].route.model == SONNET
    assert second[0].route.reasons[0].name == "open_tool_call"


@pytest.mark.parametrize("alias", [SONNET, LOCAL])
async def test_a_slowly_streamed_tool_call_continues_and_a_silent_one_times_out(alias: str):
    limits = AttemptTimeouts(first_token_s=3, fallback_first_token_s=3, between_tokens_s=3, total_s=600)
    arguments = {"city": "Bern " * 40}
    async with running_router(limits) as w:
        emulator = emulator_of(w, alias)
        emulator.always("*", Scenario(text="", calls=(("weather", arguments),), call_pieces=20, between_s=0.2))
        events = await w.answer(asking("Weather?", tools=[WEATHER], pin_model=alias))
        emulator.always("*", Scenario(text="", calls=(("weather", arguments),), call_pieces=20, between_s=60))
        with pytest.raises(errors.Unavailable) as caught:
            await w.answer(asking("Weather?", tools=[WEATHER], pin_model=alias))
    assert json.loads(next(e for e in events if e.HasField("tool_call")).tool_call.arguments_json) == arguments
    assert "timeout" in str(caught.value)
