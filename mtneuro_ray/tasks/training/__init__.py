"""What tasks compute: inputs, losses and measured predictions, one class per kind of task."""
