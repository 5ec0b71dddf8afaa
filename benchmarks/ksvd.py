"""Our K-SVD beside dictlearn's (`pip install -e .[benchmarks]`): the same digits, atoms, nonzeros and iterations.

Prints CPU seconds and the signal-to-noise ratio on training and test images.
"""

import dictlearn

from benchmarks.costs import timed
from deepatoms import data
from deepatoms.studies.skip_dictionaries import ksvd
from deepatoms.theory import dictionaries, pursuit, skip_dictionaries

ATOMS, NONZEROS, ITERATIONS = 128, 5, 15


def ours(X):
    return ksvd.learn(X, ATOMS, NONZEROS, ITERATIONS)


def peer(algorithm):
    def learn(X):
        learner = dictlearn.DictionaryLearning(ATOMS, fit_algorithm=algorithm, n_nonzero_coefs=NONZEROS,
                                               max_iter=ITERATIONS, random_state=0)
        return learner.fit(X).components_.T
    return learn


def ratio(D, X):
    codes = pursuit.matching_pursuit(D, X, NONZEROS)
    return skip_dictionaries.signal_to_noise(X, codes @ dictionaries.normalize(D).T)


def main():
    training, test = (data.load("digits", split).images.flatten(1).double().numpy() for split in ("train", "test"))
    print(f"{'':18}{'CPU s':>8}{'train dB':>10}{'test dB':>10}")
    for name, learn in {"ours": ours, "dictlearn ksvd": peer("ksvd"), "dictlearn aksvd": peer("aksvd")}.items():
        D, seconds = timed(lambda learn=learn: learn(training))
        print(f"{name:18}{seconds:8.1f}{ratio(D, training):10.2f}{ratio(D, test):10.2f}  {len(training):,} digits")


if __name__ == "__main__":
    main()
