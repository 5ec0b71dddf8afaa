"""What one evaluation of the frame potential costs: prints the table of the recorded experiment ``potential-speed``, run now."""

from deepatoms.experiments import potential_speed, results

if __name__ == "__main__":
    configuration, = results.experiments()["potential-speed"].configurations
    print(potential_speed.table(potential_speed.potential_speed(configuration, "cpu")))
