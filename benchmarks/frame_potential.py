"""What one evaluation of the frame potential costs: prints the table of the recorded experiment ``potential-speed``, run now."""

from deepatoms.runs import results
from deepatoms.studies.deep_frame_potential import speed

if __name__ == "__main__":
    configuration, = results.experiments()["potential-speed"].configurations
    print(speed.table(speed.potential_speed(configuration, "cpu")))
