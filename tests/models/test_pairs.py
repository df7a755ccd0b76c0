"""The head that sorts: its formula written anew, what its pairs share, and its published forms."""

from itertools import combinations

import pytest
import torch

from unreel.models.objectives.pairs import PairwiseHead


@pytest.mark.parametrize(("items", "classes"), [(4, 12), (3, 6), (2, 2)])
def test_every_pair_passes_one_layer_and_all_pairs_the_last(items: int, classes: int) -> None:
    head = PairwiseHead(8, items=items, classes=classes, hidden=16).eval()
    embeddings = torch.randn(5, items, 8)
    first, last = head.pair[0], head.order[1]
    pairs = [
        torch.relu(torch.cat([embeddings[:, i], embeddings[:, j]], 1) @ first.weight.T + first.bias)
        for i, j in combinations(range(items), 2)
    ]
    expected = torch.cat(pairs, 1) @ last.weight.T + last.bias
    assert head(embeddings).shape == (5, classes)
    assert torch.allclose(head(embeddings), expected, atol=1e-5)


def test_the_norm_counts_all_pairs_together() -> None:
    head = PairwiseHead(8, items=4, classes=12, hidden=16, norm=True).train()
    seen: list[torch.Tensor] = []
    head.pair[1].register_forward_hook(lambda module, inputs, output: seen.append(output.detach().clone()))
    head(torch.randn(7, 4, 8))
    assert seen[0].shape == (7 * 6, 16)
    assert torch.allclose(seen[0].mean(0), torch.zeros(16), atol=1e-5)


def test_dropout_is_for_training() -> None:
    embeddings = torch.randn(5, 4, 8)
    for where in ("pair_dropout", "dropout"):
        head = PairwiseHead(8, items=4, classes=12, hidden=64, **{where: 0.5})
        assert not torch.equal(head.train()(embeddings), head(embeddings))
        assert torch.equal(head.eval()(embeddings), head(embeddings))


def test_one_thing_has_no_pair() -> None:
    with pytest.raises(ValueError, match="items = 1: a pair takes 2 or more"):
        PairwiseHead(8, items=1, classes=1)
