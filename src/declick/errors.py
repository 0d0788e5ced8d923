"""What can go wrong, each with one line that names the file, the fault and the remedy."""


class DeclickError(Exception):
    """Base of every error that a user can cause or cure; its text is one line."""


class ReadError(DeclickError):
    """The source cannot be used: absent, empty, truncated, not audio, or with NaN/Inf samples."""


class WriteError(DeclickError):
    """The result cannot be written: no permission, no space, or it exists already."""


class SettingsError(DeclickError, ValueError):
    """A setting is outside its range, or two settings contradict each other."""


class LabelError(DeclickError):
    """A label track or report cannot be understood, or points beyond the end of the sound."""


class MissingExtraError(DeclickError):
    """An optional part is needed that is not installed; the text gives the install line."""


class NotSameRecordingError(DeclickError):
    """Two recordings are not digitizations of the same one, or it cannot be told."""
