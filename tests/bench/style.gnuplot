# What all plots of the benches have in common; gnuplot 5.
set terminal svg size 800,420 dynamic background rgb 'white' font 'sans,13'
set output out
set datafile separator ','
set key outside right top autotitle columnhead
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror out
set style data linespoints
plain = '#888888'
hand = '#4c78a8'
shim = '#e4572e'
other = '#54a24b'
set linetype 1 lc rgb plain lw 2 pt 7 ps 0.6
set linetype 2 lc rgb hand lw 2 pt 7 ps 0.6
set linetype 3 lc rgb shim lw 2 pt 7 ps 0.6
set linetype 4 lc rgb other lw 2 pt 7 ps 0.6
