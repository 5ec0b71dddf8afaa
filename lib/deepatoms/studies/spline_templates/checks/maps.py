"""The affine map of MLP, CNN, ResNet and RNN (Theorem 1, Eq. 7, the template of Section 5.2)."""

from functools import lru_cache

import torch
from torch import nn

from deepatoms.claims.checking import Measurement, check, instances
from deepatoms.learning.networks import digits_cnn, relu_network, residual_cnn
from deepatoms.studies.spline_templates.checks.operators import normal
from deepatoms.theory import max_affine, splines

STEPS, STATES = 8, 12


def mlp(generator):
    """Return an MLP with 10 inputs, two hidden layers of 16 and 4 outputs, weights N(0, 1 / fan-in)."""
    return random_parameters(relu_network((10, 16, 16, 4)), generator)


def cnn(generator):
    """Return a CNN with max-pooling for 8 x 8 images, weights N(0, 1 / fan-in)."""
    return random_parameters(digits_cnn(widths=(4, 6), classes=4, batch_norm=False), generator)


def random_parameters(model, generator):
    """Draw every weight from N(0, 1 / fan-in), every bias and batch-norm value at random; float64, evaluation mode."""
    model = model.double().eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, scale, shift in ((module.weight, 1, 0), (module.bias, 1, 0), (module.running_mean, 1, 0)):
                values.copy_(scale * normal(generator, *values.shape) + shift)
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            fan_in = module.weight[0].numel()
            module.weight.copy_(normal(generator, *module.weight.shape) / fan_in**0.5)
            if module.bias is not None:
                module.bias.copy_(normal(generator, *module.bias.shape))
    return model


def moved(model, x, direction):
    """Return x' half-way to the first change of the code, and x'' at twice the distance of that change."""
    distance = splines.distance_to_break(model, x, direction).reshape(-1, *[1] * (x.ndim - 1))
    return x + distance / 2 * direction, x + 2 * distance * direction


def affine_error(model, A, b, x):
    """Return the largest |f(x) - (A x + b)|."""
    return float((model(x) - torch.einsum("ncd,nd->nc", A, x.flatten(1)) - b).abs().max())


def _largest(errors):
    """Return the largest of each network's two errors, and of how many networks."""
    measured, control = (max(column) for column in zip(*errors, strict=True))
    return Measurement(measured, control, count=len(errors))


@check("spl.thm1/other_point", instances(40, of="networks"))
def other_point(setting):
    """Apply the map found at x to another point of the same region, and to one beyond its boundary."""
    generator, errors = setting.torch("spl.thm1/other_point"), []
    for build, shape in ((mlp, (10,)), (cnn, (1, 8, 8))) * 20:
        model, x, direction = build(generator), normal(generator, 5, *shape), normal(generator, 5, *shape)
        A, b = splines.affine_map(model, x)
        errors.append([affine_error(model, A, b, y) for y in moved(model, x, direction)])
    return _largest(errors)


@check("spl.thm1/product", instances(20, of="networks"))
def product(setting):
    """Compare autograd's map with the product of explicit matrices, and with the product at another input."""
    generator, errors = setting.torch("spl.thm1/product"), []
    for build, shape in ((mlp, (10,)), (cnn, (1, 8, 8))) * 10:
        model, x = build(generator), normal(generator, 5, *shape)
        A, _ = splines.affine_map(model, x)
        layers = max_affine.operators(model, shape)
        products = torch.stack([max_affine.chain_map(max_affine.select(layers, each))[0] for each in x.flatten(1)])
        errors.append([float((A - other).abs().max()) for other in (products, products.roll(1, 0))])
    return _largest(errors)


@check("spl.resnet/other_point", instances(20, of="networks"))
def resnet(setting):
    """Test the maps of residual nets with both kinds of shortcut at another point; batch norm in training mode breaks them."""
    generator = setting.torch("spl.resnet")
    return _largest([_residual_errors(generator) for _ in range(20)])


def _residual_errors(generator):
    model = random_parameters(residual_cnn((1, 8, 8), classes=4, widths=(4, 6), blocks=2), generator)
    x, direction = normal(generator, 10, 1, 8, 8), normal(generator, 10, 1, 8, 8)
    A, b = splines.affine_map(model, x)
    near, _ = moved(model, x, direction)
    measured = affine_error(model, A, b, near)
    model.train()
    return measured, affine_error(model, *_slopes(model, x), near)


def _slopes(model, x):
    """Return slopes by autograd and the rest, whatever the model is: the construction that tests nothing at x itself."""
    x = x.detach().requires_grad_()
    z = model(x)
    rows = [torch.autograd.grad(z[:, c].sum(), x, retain_graph=True)[0].flatten(1) for c in range(z.shape[1])]
    A = torch.stack(rows, 1)
    return A, z.detach() - torch.einsum("ncd,nd->nc", A, x.detach().flatten(1))


class Recurrent(nn.Module):
    """Read a sequence, (batch, steps, inputs), and return a linear function of the last state."""

    def __init__(self, nonlinearity="relu", inputs=3, outputs=4):
        super().__init__()
        self.cell = nn.RNN(inputs, STATES, nonlinearity=nonlinearity, batch_first=True)
        self.readout = nn.Linear(STATES, outputs)

    def forward(self, x):
        """Return the outputs, shape (batch, outputs)."""
        return self.readout(self.cell(x)[0][:, -1])


@lru_cache(maxsize=4)
def _recurrent(setting):
    """Return ten random ReLU recurrent nets, each with its twin of the same weights and tanh, and five sequences twice."""
    generator = setting.torch("spl.rnn")
    return [(*_twins(generator), normal(generator, 5, STEPS, 3), normal(generator, 5, STEPS, 3)) for _ in range(10)]


def _twins(generator):
    model, smooth = Recurrent().double(), Recurrent("tanh").double()
    for name, values in model.named_parameters():
        values.data.copy_(normal(generator, *values.shape) / (values.shape[-1] ** 0.5 if "weight" in name else 1))
    smooth.load_state_dict(model.state_dict())
    return model.requires_grad_(False), smooth.requires_grad_(False)


@check("spl.rnn/other_point", instances(10, of="networks"))
def rnn_other_point(setting):
    """Test the map of ReLU recurrent nets at another sequence with the same masks; tanh fails on the same sequences."""
    errors = []
    for model, smooth, x, direction in _recurrent(setting):
        near, _ = moved(model, x, direction)
        errors.append([affine_error(model, *splines.affine_map(model, x), near),
                       affine_error(smooth, *_slopes(smooth, x), near)])
    return _largest(errors)


@check("spl.rnn/product", instances(10, of="networks"))
def rnn_product(setting):
    """Build the slope at every time step from the masks and weight matrices and compare it with autograd's."""
    errors = []
    for model, _, x, _ in _recurrent(setting):
        A = splines.affine_map(model, x)[0].reshape(len(x), -1, STEPS, 3)
        masks = _masks(model.cell, x)
        errors.append([float((A - _rnn_slopes(model, chosen)).abs().max()) for chosen in (masks, masks.roll(1, 0))])
    return _largest(errors)


def _masks(cell, x):
    """Return which units are on, shape (batch, steps, states), by an explicit loop over the steps."""
    state, masks = x.new_zeros(len(x), STATES), []
    for step in x.unbind(1):
        before = step @ cell.weight_ih_l0.T + cell.bias_ih_l0 + state @ cell.weight_hh_l0.T + cell.bias_hh_l0
        state = before.clamp_min(0)
        masks.append((before > 0).to(x.dtype))
    return torch.stack(masks, 1)


def _rnn_slopes(model, masks):
    """Return W_o (prod Q_s W_r) Q_t W_in, shape (batch, outputs, steps, inputs)."""
    after, slopes = model.readout.weight.expand(len(masks), -1, -1), []
    for step in reversed(range(STEPS)):
        after = after * masks[:, None, step]
        slopes.append(after @ model.cell.weight_ih_l0)
        after = after @ model.cell.weight_hh_l0
    return torch.stack(slopes[::-1], 2)


@check("spl.eq7/explicit", instances(10, of="networks"))
def explicit(setting):
    """Multiply the matrices of Eq. 7 and sum the propagated biases; the control leaves the ReLU matrices out of that sum."""
    generator = setting.torch("spl.eq7")
    return _largest([_explicit_errors(cnn(generator), x) for x in normal(generator, 10, 5, 1, 8, 8)])


def _explicit_errors(model, x):
    layers = max_affine.operators(model, (1, 8, 8))
    relu = [isinstance(layer, nn.ReLU) for layer in model if not isinstance(layer, nn.Flatten)]
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda one: model(one[None])[0], each) for each in x])
    errors = []
    for each, z, J in zip(x, model(x), jacobian, strict=True):
        selected = max_affine.select(layers, each.flatten())
        A, b = max_affine.chain_map(selected)
        without = [(torch.eye(len(B), dtype=B.dtype), B) if skip else (S, B)
                   for (S, B), skip in zip(selected, relu, strict=True)]
        wrong = max_affine.chain_map(without)[1]
        errors.append([max(float((A @ each.flatten() + b - z).abs().max()), float((A - J.flatten(1)).abs().max())),
                       float((A @ each.flatten() + wrong - z).abs().max())])
    return [max(column) for column in zip(*errors, strict=True)]


@check("spl.template/autograd", instances(10, of="networks"))
def template(setting):
    """Compare each template by backpropagation with the row of W A[x] from explicit matrices, small CNNs for digits."""
    generator = setting.torch("spl.template")
    return _largest([_template_errors(random_parameters(digits_cnn(batch_norm=False), generator), x)
                     for x in normal(generator, 10, 1, 1, 8, 8)])


def _template_errors(model, x):
    layers = max_affine.operators(model, (1, 8, 8))
    rows = torch.stack([max_affine.chain_map(max_affine.select(layers, each))[0] for each in x.flatten(1)])
    A, _ = splines.affine_map(model, x)
    after_softmax, _ = _slopes(lambda at: torch.softmax(model(at), 1), x)
    return float((A - rows).abs().max()), float((after_softmax - rows).abs().max())
