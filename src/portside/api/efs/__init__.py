"""Amazon EFS: file systems, mount targets, access points."""
