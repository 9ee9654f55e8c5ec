package sqlite

import (
	"math"
	"time"
)

// Moment is a time of godwit's own clock as a column holds it: nanoseconds
// since 1970; 0 for the zero time (and the first moment of 1970, which no clock
// shows again). What lies outside the years that this can tell (1678 to 2261)
// becomes the nearest it can.
func Moment(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() < 1678:
		return math.MinInt64
	case t.Year() > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// FromMoment is the way back, in UTC.
func FromMoment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
