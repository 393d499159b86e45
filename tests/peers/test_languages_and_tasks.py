"""Faults 9 and 10: languages as people write them, and translation by models that never learned it."""

import dataclasses

import pytest
import whisper.tokenizer
from whisper.model import ModelDimensions

from gateway.protocols.asr_parameters import read_parameters
from gpu_worker.model.recognizer import was_trained_to_translate
from shared.languages import NAMES, whisper_code
from tests.gateway.asr_harness import GatewayHarness

LARGE = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 32)


@pytest.mark.parametrize(
    ("asked", "code"),
    [("en-US", "en"), ("pt_BR", "pt"), ("zh-Hant-TW", "zh"), ("English", "en"), ("castilian", "es"), ("Mandarin", "zh"),
     ("HAITIAN CREOLE", "ht"), ("nb-NO", "no"), ("en_US.UTF-8", "en"), ("zh-yue-HK", "yue"), ("haw", "haw")],
)  # fmt: skip
def test_fault_09_tags_names_and_aliases_are_languages(asked, code):
    """Relatives: tags with regions and scripts, locales, English names, Whisper's aliases, in any case."""
    assert read_parameters({"language": asked}).language == code


@pytest.mark.parametrize("asked", ["klingon", "tlh-US", "en-", "english-klingon", "en,fr", "xx-en"])
def test_fault_09_nonsense_stays_refused(asked):
    """What is no language is passed on in lower case, for the model to refuse by name."""
    assert read_parameters({"language": asked}).language == asked.lower()
    assert asked.lower() not in NAMES


def test_fault_09_the_table_is_whispers():
    """All of Whisper's codes, names and aliases are known, with the meaning that it gives them."""
    assert NAMES == whisper.tokenizer.LANGUAGES
    known = whisper.tokenizer.TO_LANGUAGE_CODE
    assert {name: whisper_code(name) for name in known} == known


@pytest.mark.parametrize(("layers", "translates"), [(32, True), (4, False), (2, False)])
def test_fault_10_turbo_is_told_by_its_shape(layers, translates):
    """Relatives: a checkpoint by its path has no name to go by, and distil models have two layers."""
    assert was_trained_to_translate(dataclasses.replace(LARGE, n_text_layer=layers)) is translates


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["full", "events"])
async def test_fault_10_translation_is_refused_and_not_offered(mode):
    """A multilingual model that does not translate says so in `config`, and refuses the task with a sentence."""
    gateway = GatewayHarness()
    worker = gateway.exchange.boot(0, translates=False)
    gateway.exchange.hear(worker)
    plain = await gateway.connected(f"mode={mode}")
    assert (plain.messages[0]["multilingual"], plain.messages[0]["translation"]) == (True, False)
    socket = await gateway.connected(f"mode={mode}&task=translate")
    assert (socket.closed["code"], socket.messages[-1]["code"]) == (4400, "bad_parameter")
    assert "trained to translate" in socket.messages[-1]["error"]
    await gateway.shut_down()
