"""What the closed forms of the ResNEst chapter save: prints the table of the recorded experiment ``resnests-speed``, run now."""

from deepatoms.studies.resnests import speed

if __name__ == "__main__":
    print(speed.table(speed.speed({"repeats": 21}, "cpu")))
