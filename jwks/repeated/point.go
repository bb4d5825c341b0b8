package repeated

import "math/big"

// affine is a point of P-256 that is not the one at infinity.
type affine struct{ x, y element }

// point is the point (x/z^2, y/z^3) of P-256; with z zero, the one at infinity.
type point struct{ x, y, z element }

// double adds p to itself. The point at infinity stays where it is, and no
// other point of the curve is its own negative.
func (p *point) double() {
	zz, yy, yz := p.z.times(p.z), p.y.times(p.y), p.y.plus(p.z)
	slope := p.x.minus(zz).times(p.x.plus(zz)) // a third of it, since a of the curve is -3
	slope = slope.plus(slope).plus(slope)
	v := p.x.times(yy)
	v = v.plus(v)
	v = v.plus(v)
	p.z = yz.times(yz).minus(yy).minus(zz)
	p.x = slope.times(slope).minus(v).minus(v)
	yy = yy.plus(yy)
	yy = yy.times(yy)
	p.y = slope.times(v.minus(p.x)).minus(yy).minus(yy)
}

// add adds q to p, whatever the two are.
func (p *point) add(q *affine) {
	if p.z == (element{}) {
		*p = point{q.x, q.y, one()}
		return
	}
	zz := p.z.times(p.z)
	across, up := q.x.times(zz).minus(p.x), q.y.times(zz.times(p.z)).minus(p.y)
	if across == (element{}) { // the same x: the same point or its negative
		if up == (element{}) {
			p.double()
		} else {
			*p = point{}
		}
		return
	}
	square := across.times(across)
	cube, v := square.times(across), p.x.times(square)
	p.z = p.z.times(across)
	p.x = up.times(up).minus(cube).minus(v).minus(v)
	p.y = up.times(v.minus(p.x)).minus(p.y.times(cube))
}

// hasX reports whether p is a point with this x, from 0 to p-1.
func (p *point) hasX(x *big.Int) bool {
	return p.z != (element{}) && newElement(x).times(p.z.times(p.z)) == p.x
}

// flatten brings points to the form that is added fastest. It inverts once for
// all of them, and returns nil when one is at infinity.
func flatten(points []point) []affine {
	product, before := one(), make([]element, len(points))
	for i, p := range points {
		before[i] = product
		product = product.times(p.z)
	}
	if product == (element{}) {
		return nil
	}
	rest, flat := product.inverse(), make([]affine, len(points))
	for i := len(points) - 1; i >= 0; i-- {
		z := rest.times(before[i])
		zz := z.times(z)
		rest = rest.times(points[i].z)
		flat[i] = affine{points[i].x.times(zz), points[i].y.times(zz.times(z))}
	}
	return flat
}
