"""AWS's wire protocols: one module each, behind one small interface. A protocol is chosen by the service's model."""
