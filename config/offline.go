package config

import (
	"fmt"
	"reflect"
	"strings"
)

// LoadOffline is Load for where a gate does not run: the files that the file at
// path names need not be there.
func LoadOffline(path string, env func(string) (string, bool)) (*File, error) {
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	return Parse(path, text, env)
}

// Offline is a copy of f that decides as f does, less what is known only where
// it serves: it names no Redis, and no file but the one with deny rules and the
// issuers' key sets. Whether listeners speak TLS stays as it is. No request pays
// for those before it.
func (f *File) Offline() *File {
	c := *f
	forget(reflect.ValueOf(&c).Elem())
	c.TLS.CertFile, c.CacheDir = f.TLS.CertFile, ""
	c.DPoP.Replay = Replay{Store: "memory", MaxEntries: 1000}
	c.Revocation = Revocation{File: f.Revocation.File}
	c.Verification.Failures = 0
	for n := range c.Issuers {
		c.Issuers[n].Introspection.Shared = SharedAnswers{}
	}
	return &c
}

// forget takes the names of files, but for key sets, out of a struct and all
// below it. Lists become copies.
func forget(v reflect.Value) {
	for f := range fieldsOf(v.Type()) {
		name, field := f.Tag.Get("yaml"), v.FieldByIndex(f.Index)
		switch {
		case f.Type.Kind() == reflect.String && strings.HasSuffix(name, "_file") && name != "jwks_file":
			field.SetString("")
		case isObject(f.Type):
			forget(field)
		case f.Type.Kind() == reflect.Slice && isObject(f.Type.Elem()):
			own := reflect.MakeSlice(f.Type, field.Len(), field.Len())
			reflect.Copy(own, field)
			field.Set(own)
			for i := range own.Len() {
				forget(own.Index(i))
			}
		}
	}
}
