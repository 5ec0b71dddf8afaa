"""What the recorded networks say of the five theories together."""

import numpy as np

from deepatoms.claims.checking import Measurement, check, experiment, instances
from deepatoms.studies.five_lenses import relations, sixty

NETWORKS, HONEST, SEEDS, EXCHANGES = len(sixty.CONFIGURATIONS), 36, len(sixty.FIVE), 101


def of_sixty(identifier, networks=NETWORKS):
    """Register a function of the sixty recorded networks."""
    return check(identifier, instances(networks, "networks"), scale="full", records=sixty.NAME)


def of_seeds(identifier):
    """Register a function of the hundred recorded networks of one recipe."""
    return check(identifier, instances(len(sixty.SEEDS), "networks"), scale="full", records=sixty.SEEDS_NAME)


def of_conditions(identifier):
    """Register a function of the five seeds in five conditions."""
    return check(identifier, experiment(SEEDS), scale="full", records=sixty.CONDITIONS_NAME)


def _share(records, given):
    """Return the share of related pairs of different theories, and of lenses related to themselves on other inputs."""
    shares = [len(relations.surviving(found)) / len(found)
              for found in (relations.across(records, given), relations.with_itself(records, given))]
    return Measurement(*shares, count=len(records))


@of_sixty("lens.related/share")
def related(setting, records):
    """Count the pairs of lenses of different theories whose rank correlation survives Holm's correction."""
    return _share(records, None)


@of_sixty("lens.given_recipe/share")
def related_given_recipe(setting, records):
    """Count the same pairs by partial rank correlations given each network's recipe."""
    return _share(records, relations.recipe(records))


@of_seeds("lens.seed/share")
def related_from_seed_to_seed(setting, records):
    """Count the same pairs over networks of one recipe."""
    return _share(records, None)


def _with_accuracy(setting, records, given):
    """Count the lenses related to test accuracy; with exchanged accuracies as the control."""
    generator = setting.numpy("accuracy")
    exchanged = [len(relations.surviving(relations.with_accuracy(records, given, generator.permutation(len(records)))))
                 for _ in range(EXCHANGES)]
    found = relations.surviving(relations.with_accuracy(records, given))
    return Measurement(len(found), float(np.median(exchanged)), count=len(records))


@of_sixty("lens.accuracy/lenses", HONEST)
def with_accuracy(setting, records):
    """Count the lenses related to test accuracy given the recipe, over networks trained on the true labels."""
    chosen = relations.honest(records)
    return _with_accuracy(setting, chosen, relations.recipe(chosen))


@of_seeds("lens.accuracy_seed/lenses")
def with_accuracy_from_seed_to_seed(setting, records):
    """Count the lenses related to test accuracy over networks of one recipe."""
    return _with_accuracy(setting, records, None)


@of_sixty("lens.silent/share", HONEST)
def silent(setting, records):
    """Average the share of codes below the uniqueness threshold; with orthonormal first weights as the control."""
    found = [[record["result"][name] for name in ("unique", "unique if orthonormal")] for record in relations.honest(records)]
    return Measurement(*np.mean(found, axis=0), count=len(found))


def _theories_apart(records, one, other):
    """Count the theories with a lens that tells two conditions apart; an untrained network and its permutation as control."""
    counts = [len(relations.theories(relations.apart(records, *pair))) for pair in ((one, other), ("start", "start permuted"))]
    return Measurement(*counts, count=len(records))


@of_conditions("lens.weights/theories")
def weights(setting, records):
    """Compare trained networks with their own weights permuted."""
    return _theories_apart(records, "trained", "trained permuted")


@of_conditions("lens.labels/theories")
def labels(setting, records):
    """Compare networks trained on true labels with networks trained on shuffled ones."""
    return _theories_apart(records, "trained", "shuffled labels")
