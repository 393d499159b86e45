import pytest
import torch
from whisper.decoding import detect_language
from whisper.model import Whisper, disable_sdpa
from whisper.tokenizer import get_tokenizer

from gpu_worker.model.cpu.decoder import RowSpan
from gpu_worker.model.network import Network, alignment_heads
from gpu_worker.model.nn.compaction import EncoderSettings, Level
from gpu_worker.model.nn.linear import EXACT

CPU = torch.device("cpu")


def build(weights):
    """Return the network of a checkpoint in fp32."""
    return Network.build(
        weights.state, weights.dims, name=weights.official, precision=EXACT, device=CPU, settings=EncoderSettings()
    )


def padded(raw):
    """Return a window as whisper's encoder takes it: 30 s, silence behind the audio."""
    level = Level.of(raw, EncoderSettings())
    return torch.nn.functional.pad(level.scale(raw), (0, 3000 - raw.shape[1]), value=level.silence)


@pytest.fixture(scope="module")
def pair(random_weights, clips):
    """Whisper's own random multilingual model, ours, and one window as each encodes it."""
    model, weights = random_weights()
    network = build(weights)
    with torch.inference_mode():
        raw = network.spectrum.raw(clips[0].pcm, 0)
        mel = padded(raw)
        return model, network, mel, network.encoder.encode([raw], full=True)[0]


def attention_buffer(network, encoding):
    """Return a tensor that a row's attention is recorded in."""
    return torch.empty(network.decoder.attention_heads, 64, encoding.frames)


@torch.inference_mode()
def test_hidden_states_give_whispers_logits(pair):
    """A pass over many tokens scores every text token as whisper's decoder does, to 1e-4."""
    model, network, mel, encoding = pair
    tokens = [50258, 50259, 50360, 50364, *range(500, 520)]
    spans = [RowSpan(0, 0, len(tokens), encoding, attention_buffer(network, encoding), 3)]
    hidden = network.decoder.forward(tokens, spans, network.decoder.cache(1, 64))
    ours = hidden @ model.decoder.token_embedding.weight.T
    theirs = model.decoder(torch.tensor([tokens]), model.encoder(mel[None]))[0]
    assert (ours - theirs).abs().max() < 1e-4


@torch.inference_mode()
def test_tokens_in_pieces_beside_another_row_equal_one_pass(pair):
    """Two rows of different lengths, fed in pieces into one cache, end where each would alone."""
    _, network, _, encoding = pair
    decoder = network.decoder
    first, second = list(range(500, 520)), list(range(700, 707))

    def alone(tokens):
        spans = [RowSpan(0, 0, len(tokens), encoding, attention_buffer(network, encoding), 0)]
        return decoder.forward(tokens, spans, decoder.cache(1, 64))[-1]

    cache = decoder.cache(2, 64)
    buffers = [attention_buffer(network, encoding) for _ in range(2)]
    spans = [RowSpan(0, 0, 12, encoding, buffers[0], 0), RowSpan(1, 0, 6, encoding, buffers[1], 0)]
    decoder.forward(first[:12] + second[:6], spans, cache)
    spans = [RowSpan(0, 12, 8, encoding, buffers[0], 0), RowSpan(1, 6, 1, encoding, buffers[1], 0)]
    hidden = decoder.forward(first[12:] + second[6:], spans, cache)
    assert (hidden[7] - alone(first)).abs().max() < 1e-4
    assert (hidden[8] - alone(second)).abs().max() < 1e-4


@torch.inference_mode()
def test_tokens_taken_back_leave_nothing_behind(pair):
    """After a rejected draft the row goes on as if it had never been fed."""
    _, network, _, encoding = pair
    decoder = network.decoder
    buffer = attention_buffer(network, encoding)
    cache = decoder.cache(1, 64)
    decoder.forward(list(range(500, 510)), [RowSpan(0, 0, 10, encoding, buffer, 0)], cache)
    again = decoder.forward([900], [RowSpan(0, 4, 1, encoding, buffer, 0)], cache)
    clean = decoder.forward([500, 501, 502, 503, 900], [RowSpan(0, 0, 5, encoding, buffer, 0)], decoder.cache(1, 64))
    assert (again[-1] - clean[-1]).abs().max() < 1e-4


@torch.inference_mode()
def test_the_language_is_the_one_whisper_detects(pair):
    """Detection on the window's encoding agrees with whisper's, probabilities too."""
    model, network, mel, encoding = pair
    tokenizer = get_tokenizer(multilingual=True, num_languages=100)
    _, probabilities = detect_language(model, mel, tokenizer)
    assert network.detect([encoding, encoding]) == [max(probabilities, key=probabilities.get)] * 2


@torch.inference_mode()
def test_no_speech_is_the_share_whisper_would_see(pair):
    """The probability of no speech is the softmax over all tokens, nothing suppressed, at the start of transcript."""
    model, network, mel, encoding = pair
    tokens = [50258, 50259, 50360, 50364]
    spans = [RowSpan(0, 0, 4, encoding, attention_buffer(network, encoding), 3)]
    hidden = network.decoder.forward(tokens, spans, network.decoder.cache(1, 64))
    vocabulary = network.decoder.vocabulary
    silences = vocabulary.no_speech(hidden[:1], vocabulary.choose(hidden[[3, 0]], [0]).totals[1:])
    theirs = model.decoder(torch.tensor([tokens]), model.encoder(mel[None]))[0, 0].softmax(-1)
    assert silences == [pytest.approx(float(theirs[network.tokens.no_speech]), rel=1e-3)]


@torch.inference_mode()
def test_attention_of_the_alignment_heads_is_recorded(weights, clips):
    """It is whisper's cross-attention of those heads over the real frames."""
    network = build(weights)
    model = Whisper(weights.dims)
    model.load_state_dict({k: v.float() for k, v in weights.state.items()})
    raw = network.spectrum.raw(clips[0].pcm, 0)
    encoding = network.encoder.encode([raw], full=True)[0]
    tokens = [50257, 50362, 2077, 286, 1842]
    buffer = attention_buffer(network, encoding)
    network.decoder.forward(tokens, [RowSpan(0, 0, 5, encoding, buffer, 1)], network.decoder.cache(1, 64))
    seen = {}
    hooks = [
        block.cross_attn.register_forward_hook(lambda _, __, out, i=i: seen.__setitem__(i, out[1]))
        for i, block in enumerate(model.decoder.blocks)
    ]
    with disable_sdpa():
        model.decoder(torch.tensor([tokens]), model.encoder(padded(raw)[None]))
    for hook in hooks:
        hook.remove()
    for row, (layer, head) in enumerate(alignment_heads("tiny.en", weights.dims)):
        theirs = seen[layer][0, head].softmax(-1)[1:, : encoding.frames]
        assert (buffer[row, :4] - theirs).abs().max() < 1e-4


def test_unknown_weights_take_the_later_half_of_the_heads(weights):
    """Weights without an official name align by every head of the later layers, as whisper does."""
    assert alignment_heads(None, weights.dims) == [(i, j) for i in (2, 3) for j in range(6)]
