package mail

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestFaultWaitsAsLongAsIsKnown(t *testing.T) {
	inner := NewFault(GradeMailbox, ClassThrottle, errors.New("slow down"), "")
	inner.After = time.Hour
	outer := NewFault(GradeAccount, ClassServer, fmt.Errorf("scanning: %w", inner), "")
	if got := outer.Wait(); got != time.Hour {
		t.Errorf("a fault hides the wait inside it: %v", got)
	}
	outer.After = time.Minute
	if got := outer.Wait(); got != time.Minute {
		t.Errorf("the outer wait is %v", got)
	}
	for _, err := range []error{nil, errors.New("x")} {
		if got := NewFault(GradeMessage, ClassLocal, err, "").Wait(); got != 0 {
			t.Errorf("nobody knows how long, and it says %v", got)
		}
	}
}
