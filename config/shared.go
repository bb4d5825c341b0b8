package config

// SharedAnswers says where gates leave for each other what an issuer said.
type SharedAnswers struct {
	Redis   Redis  `yaml:"redis" doc:"Where that is; the answers in it are encrypted."`
	KeyFile string `yaml:"key_file" doc:"File with the secret of 32 octets or more that all gates have, or two of them on a line each while it changes: the first seals, both open; read again when it changes."`
}

// On reports whether answers are shared.
func (s SharedAnswers) On() bool { return s.Redis.On() }

func (s *SharedAnswers) files(at string) []namedFile {
	return append(s.Redis.files(at+".redis"), namedFile{at + ".key_file", &s.KeyFile})
}

// shared checks where answers of an issuer are shared.
func (c *checker) shared(at string, s SharedAnswers) {
	if !c.has(at) {
		return
	}
	c.redis(at+".redis", s.Redis)
	if s.KeyFile == "" && !c.has(at+".key_file") {
		c.bad(at+".key_file", "is missing", "Redis is not trusted with answers; make one with: openssl rand -base64 32")
	}
}
