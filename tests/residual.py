"""The plainest residual network of the form that ``splines.block_templates`` reads: stem, blocks, head."""

from torch import nn


class Block(nn.Module):
    """A branch beside a shortcut, and what comes after their sum."""

    def __init__(self, branch, shortcut=None, after=None):
        super().__init__()
        self.branch, self.shortcut, self.after = branch, shortcut or nn.Identity(), after or nn.Identity()

    def forward(self, x):
        return self.after(self.shortcut(x) + self.branch(x))


class Residual(nn.Module):
    """Blocks between a stem and a head."""

    def __init__(self, blocks, stem=None, head=None):
        super().__init__()
        self.stem, self.head, self.blocks = stem or nn.Identity(), head or nn.Identity(), nn.ModuleList(blocks)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
