package denials

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	lockWithin = 5 * time.Second
	lockAgain  = 10 * time.Millisecond
)

var errLocked = errors.New("is locked by another process")

// openLocked opens a file for reading, and for writing at its end. Until it is
// closed nobody else who asks the same way has it, of this process or another.
// One that was replaced meanwhile is opened anew.
func openLocked(name string, flag int, mode fs.FileMode) (*os.File, error) {
	for deadline := time.Now().Add(lockWithin); ; {
		file, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND|flag, mode)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			mine, problem := file.Stat()
			if now, gone := os.Stat(name); problem == nil && gone == nil && os.SameFile(mine, now) {
				return file, nil
			}
		}
		_ = file.Close()
		switch {
		case err != nil && !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, err
		case time.Now().After(deadline):
			return nil, errLocked
		case err != nil:
			time.Sleep(lockAgain)
		}
	}
}
