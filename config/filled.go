package config

// Filled is a setting that a preset made.
type Filled struct{ Path, Value, Preset string }

// Filled lists what presets made of the file, in its order.
func (f *File) Filled() []Filled { return f.filled }
