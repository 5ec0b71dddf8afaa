"""Augmentation of a batch is that of each image by itself: padded by reflection, cropped, flipped, standardised."""

import itertools

import pytest
import torch

from deepatoms.learning.augmentation import CropAndFlip

MEANS, DEVIATIONS = (100.0, 120.0, 140.0), (60.0, 61.0, 62.0)
PREPARE = CropAndFlip(MEANS, DEVIATIONS)


def pixels(count):
    return torch.randint(256, (count, 3, 12, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def textbook(image, down, right, flip):
    """One image at a time, as in the authors' scripts."""
    padded = torch.nn.functional.pad(image[None].float(), (4, 4, 4, 4), mode="reflect")[0]
    cropped = padded[:, down:down + image.shape[1], right:right + image.shape[2]]
    cropped = cropped.flip(2) if flip else cropped
    return (cropped - torch.tensor(MEANS)[:, None, None]) / torch.tensor(DEVIATIONS)[:, None, None]


def test_each_image_is_one_of_the_textbook_s_and_all_of_them_occur():
    image = pixels(1)
    ways = torch.stack([textbook(image[0], *way) for way in itertools.product(range(9), range(9), (False, True))])
    made = PREPARE(image.expand(1500, -1, -1, -1), torch.Generator().manual_seed(1))
    way = torch.cdist(made.flatten(1), ways.flatten(1)).argmin(1)
    torch.testing.assert_close(made, ways[way])
    assert len(way.unique()) > 155, "162 ways, each missed with probability 1e-4"


def test_it_is_a_function_of_its_generator_and_lies_channels_last():
    ends = [PREPARE(pixels(8), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])
    assert all(end.is_contiguous(memory_format=torch.channels_last) and end.dtype == torch.float32 for end in ends)


def test_plain_images_are_only_standardised():
    for image, plain in zip(pixels(3), PREPARE.plain(pixels(3)), strict=True):
        torch.testing.assert_close(plain, textbook(image, 4, 4, False))


@pytest.mark.parametrize("padding", [0, 2])
def test_without_padding_nothing_moves(padding):
    flat = torch.full((5, 3, 6, 6), 7, dtype=torch.uint8)
    assert torch.equal(CropAndFlip(MEANS, DEVIATIONS, padding)(flat, torch.Generator()), PREPARE.plain(flat))
