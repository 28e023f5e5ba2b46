"""The control loop: watches feed a queue, workers observe, plan and apply. See `controller.Controller`."""
