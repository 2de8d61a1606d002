{{/* Names of the charts that are not disabled, as YAML list. */}}
{{- define "hocket.charts" -}}
{{- range $name := list "media-gateway" "speech" "vision" "llm-router" "rag" "ratelimit" }}
{{- if ne (toString ((index $.Values $name | default dict).enabled)) "false" }}
- {{ $name }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name of the objects of a chart of this release. Argument: (list $ chart). */}}
{{- define "hocket.nameOf" -}}
{{- $root := index . 0 -}}
{{- $chart := index . 1 -}}
{{- $base := ternary "" ($root.Release.Name | trimSuffix (printf "-%s" $chart)) (eq $root.Release.Name $chart) -}}
{{- (index $root.Values $chart | default dict).fullnameOverride | default (include "chassis.nameOf" (dict "base" $base "chart" $chart)) -}}
{{- end }}

{{/* Values of a chart with the umbrella's globals, as the library's templates read them. */}}
{{- define "hocket.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: hocket-test
app.kubernetes.io/part-of: hocket
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "hocket.testProgram" -}}
import asyncio, os, pathlib, urllib.request
from contextlib import aclosing
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hocket.llm_router.v1.llm_router_pb2 import ROLE_USER, GenerateRequest, Message, Part
from hocket.speech.v1 import speech_pb2
from hocket.chassis.auth import TokenMinter
from hocket.chassis.channel import ClientTls, MeshChannel
from hocket.client import RouterClient, SpeechClient

FOLDER = pathlib.Path("/etc/hocket/tls")
TLS = ClientTls(FOLDER / "ca.crt", FOLDER / "tls.crt", FOLDER / "tls.key") if FOLDER.exists() else None
SECRET, TIMEOUT_S = os.environ.get("JWT_SECRET", ""), float(os.environ["TIMEOUT_S"]) / 4
TARGETS = dict(each.split("=") for each in os.environ["TARGETS"].split())

def channel(name):
    token = TokenMinter(SECRET).mint("helm-test", caller="helm-test") if SECRET else ""
    return MeshChannel(TARGETS[name], lambda: token, tls=TLS)

async def check(name):
    async with channel(name) as opened:
        stub = health_pb2_grpc.HealthStub(opened.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S, wait_for_ready=True)
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    print(name, status)
    return status == "SERVING"

async def answer(question):
    words = []
    async with channel("llm-router") as opened:
        request = GenerateRequest(messages=[Message(role=ROLE_USER, parts=[Part(text=question)])])
        async with aclosing(RouterClient(opened).generate(request)) as events:
            async for event in events:
                words.append(event.text_delta)
    return "".join(words)

async def converse(question):
    async with channel("speech") as opened:
        client = SpeechClient(opened)
        spoken = await client.say(question, speech_pb2.SynthesizeConfig(sample_rate_hz=16000))
        config, heard = speech_pb2.TranscribeConfig(sample_rate_hz=16000, key_terms=[question]), ""
        async with client.transcribe(config) as stream:
            await stream.send_audio(spoken)
            await stream.flush()
            async for event in stream:
                heard += event.final.text
                if event.HasField("end_of_turn"):
                    break
        print("heard:", heard)
        told = await answer(heard)
        print("answer:", told)
        voiced = await client.say(told, speech_pb2.SynthesizeConfig(sample_rate_hz=16000))
    print("voiced:", len(voiced), "bytes")
    return bool(heard and told and voiced)

async def main():
    passed = all(await asyncio.gather(*map(check, TARGETS)))
    if passed and os.environ["CONVERSATION"] == "true":
        passed = await asyncio.wait_for(converse("when do you open"), TIMEOUT_S * 2)
    raise SystemExit(0 if passed else 1)

asyncio.run(main())
{{- end }}
