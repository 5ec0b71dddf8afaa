"""What the closed forms of the ResNEst chapter save: prints the table of the recorded experiment ``resnests-speed``, run now."""

from deepatoms.experiments import resnests_speed

if __name__ == "__main__":
    print(resnests_speed.table(resnests_speed.speed({"repeats": 21}, "cpu")))
